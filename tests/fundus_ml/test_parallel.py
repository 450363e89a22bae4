"""In order, in windows, on this machine's processes or on a real Dask cluster."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from threadpoolctl import threadpool_info

from fundus_ml.errors import InputError
from fundus_ml.parallel import TOGETHER, TURNS, in_order, one_thread, processes


def square(number):
    """Something to do elsewhere."""
    return number**2, os.getpid()


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order_whatever_the_processes(workers):
    """More items than a window holds, and a count that fills none."""
    count = 2 * TOGETHER * TURNS * workers + 3
    with processes(workers=workers):
        results = list(in_order(square, range(count)))
    assert [value for value, _ in results] == [number**2 for number in range(count)]
    assert ({process for _, process in results} == {os.getpid()}) == (workers == 1)


def test_processes_end_with_their_block():
    """Also where the consumer stops before the end."""
    with processes(workers=2):
        _, process = next(in_order(square, range(50)))
        os.kill(process, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


GROWN = []


def grow(number):
    """Grow beyond what loky takes for a leak, which it looks for once a second."""
    if not GROWN:
        GROWN.append(b"0123456789abcdef" * 25_000_000)
    time.sleep(0.3)
    return number, os.getpid()


@pytest.mark.slow
def test_a_process_that_grows_stays():
    """As one does that reads a large photograph after many small ones."""
    with processes(workers=2):
        found = [process for _, process in in_order(grow, range(4 * TOGETHER))]
    assert len(set(found)) == 2


def slow(number):
    time.sleep(60)
    return number


def lives(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def children():
    task = Path(f"/proc/self/task/{os.getpid()}/children")
    return {int(number) for number in task.read_text().split()}


def test_an_interrupted_block_does_not_wait_for_its_processes():
    before = children()

    def interrupt(_number, _frame):
        raise KeyboardInterrupt

    earlier = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 3)
    try:
        with pytest.raises(KeyboardInterrupt), processes(workers=2):
            list(in_order(slow, range(50)))
    finally:
        signal.signal(signal.SIGALRM, earlier)
    assert {process for process in children() - before if lives(process)} <= trackers()


def trackers():
    """The process by which loky cleans up; it ends with this one."""
    found = set()
    for process in children():
        words = Path(f"/proc/{process}/cmdline").read_bytes()
        if b"resource_tracker" in words:
            found.add(process)
    return found


PARENT = """
import os, sys
sys.path.insert(0, {root!r})
from tests.fundus_ml.test_parallel import slow, square
from fundus_ml.parallel import in_order, processes
with processes(workers=2):
    print(*{{process for _, process in in_order(square, range(50))}}, flush=True)
    list(in_order(slow, range(50)))
"""


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_processes_end_with_the_one_that_started_them(number):
    """However it ended; nothing holds its output open any more."""
    script = PARENT.format(root=str(Path(__file__).parents[2]))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as parent:
        workers = [int(text) for text in parent.stdout.readline().split()]
        assert workers
        parent.send_signal(number)
        parent.wait()
        assert parent.stdout.read() == b""  # comes back once every writer is gone
    assert not any(map(lives, workers))


INTERRUPTED = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path.insert(0, {root!r})
from tests.fundus_ml.test_parallel import slow
from fundus_ml.parallel import in_order, processes
try:
    print("open", flush=True)
    with processes(workers=2):
        list(in_order(slow, range(50)))
except KeyboardInterrupt:
    pass
"""


@pytest.mark.parametrize(
    "seconds", [0.3, *(pytest.param(other, marks=pytest.mark.slow) for other in (0.05, 2))]
)
def test_ctrl_c_is_heard_by_the_one_that_started_them_alone(seconds):
    """A terminal sends it to every process at once, also to those that are just starting."""
    script = INTERRUPTED.format(root=str(Path(__file__).parents[2]))
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as parent:
        assert parent.stdout.readline() == b"open\n"
        time.sleep(seconds)
        os.killpg(parent.pid, signal.SIGINT)
        _, said = parent.communicate(timeout=60)
    assert (parent.returncode, b"Traceback" in said) == (0, False), said


def test_no_more_than_a_window_is_taken_ahead_of_the_consumer():
    """Memory stays bounded however slow the consumer is."""
    taken = []
    with processes(workers=1):
        next(in_order(taken.append, range(1000)))
    assert len(taken) == TOGETHER * TURNS


@pytest.mark.slow
def test_a_dask_cluster_does_the_same():
    """Two real workers."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        processes(backend="dask", scheduler=cluster.scheduler_address),
    ):
        results = list(in_order(square, range(50)))
    assert [value for value, _ in results] == [number**2 for number in range(50)]
    assert os.getpid() not in {process for _, process in results}


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"workers": -1}, "workers=-1: must be 0"),
        ({"backend": "threads"}, "backend=threads: allowed: loky, dask"),
        ({"backend": "dask"}, "scheduler: backend=dask needs its address"),
        ({"backend": "dask", "scheduler": "nonsense://x"}, "scheduler=nonsense://x: no Dask"),
    ],
)
def test_wrong_settings_are_refused(settings, rule):
    """In one line each."""
    with pytest.raises(InputError, match=rule), processes(**settings):
        pytest.fail("opened")


def test_linear_algebra_has_one_thread_inside_the_block_and_its_own_again_behind_it():
    def threads():
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    before = threads()
    with one_thread():
        assert set(threads()) == {1}
    assert threads() == before
