"""Freed memory is used again: a pass over the same activations meets no new page."""

import platform
import subprocess
import sys

import pytest

PASSES = """
import resource, torch
from experiments.running.memory import keep_freed_memory

torch.set_num_threads(1)
# Activations of 48 MB; up to 32 MB glibc keeps by itself.
images = torch.rand(4, 3, 256, 256)
layers = torch.nn.Sequential(torch.nn.Conv2d(3, 48, 3), torch.nn.ReLU(), torch.nn.Conv2d(48, 4, 3))

def faults():
    with torch.inference_mode():
        for _ in range(3):
            layers(images)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(3):
            layers(images)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

given_back = faults()
assert keep_freed_memory()
print(given_back, faults())
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told")
def test_passes_meet_no_new_pages():
    """Page faults of three passes: thousands in each as glibc is, next to none where it keeps."""
    done = subprocess.run(
        [sys.executable, "-c", PASSES], capture_output=True, text=True, check=True
    )
    given_back, kept = map(int, done.stdout.split())
    assert kept < given_back / 5
