"""What every test of `fundus_ml` runs under."""

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Tiny networks lose more to handing work between threads than they gain."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def undrawn(monkeypatch):
    """Audits without the figures of their page, where the dataset is the point."""
    monkeypatch.setattr("fundus_ml.auditing.audit.audit_html", lambda audit: audit.dataset)
