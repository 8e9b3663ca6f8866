"""Loops, threads and forks with warm connections: nobody gets another's answer, and nothing is left open."""

from __future__ import annotations

from pathlib import Path

from support.echoing import echoed, echoing
from support.scripts import run_python

LOOPS = """
import asyncio, gc, os, sys, threading
from loomwire import LLMContainer, LLMRequest

def descriptors():
    gc.collect()
    return len(os.listdir("/proc/self/fd"))

async def calls(container, who):
    client = container.llm_client("c")
    said = await asyncio.gather(*(client.generate(LLMRequest.of(f"{who}-{n}")) for n in range(8)))
    return sum(answer.text != f"m {who}-{n}" for n, answer in enumerate(said))

def work(container, who, wrong):
    wrong.append(asyncio.run(calls(container, who)))

before = descriptors()
wrong = []
with LLMContainer.open(sys.argv[1]) as container:
    for number in range(10):
        work(container, f"loop{number}", wrong)
    threads = [threading.Thread(target=work, args=(container, f"thread{n}", wrong)) for n in range(4)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    health = container.health()
    asked, opened = health.clients["c"].answered, health.pool.idle
print(sum(wrong), len(wrong), asked, opened, descriptors() - before)
"""

FORKS = """
import asyncio, os, pathlib, pickle, sys, threading, time
from loomwire import LLMContainer, LLMRequest
from loomwire.container.process import process_container

root = sys.argv[1]
file = pathlib.Path(root) / "loomwire.yaml"

def calls(container, who, count=20, model="m"):
    client = container.sync_client("c")
    return sum(client.generate(LLMRequest.of(f"{who}-{n}")).text != f"{model} {who}-{n}" for n in range(count))

def child(number, container, pickled):
    wrong = calls(container, f"child{number}")
    own = process_container(root)
    assert own is not container and own is process_container(root)
    wrong += calls(own, f"own{number}")
    wrong += pickle.loads(pickled).generate(LLMRequest.of("x")).text != "m x"
    # The watcher of the child is the child's: it sees the edit as the parent does.
    ended = time.monotonic() + 20
    (pathlib.Path(root) / f"ready{number}").touch()
    while container.health().generation == 1 or own.health().generation == 1:
        assert time.monotonic() < ended
        time.sleep(0.01)
    wrong += calls(container, f"after{number}", model="n") + calls(own, f"own-after{number}", model="n")
    return wrong

container = process_container(root)
assert calls(container, "warm") == 0
pickled = pickle.dumps(container.sync_client("c"))
children = []
for number in range(4):
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            code = child(number, container, pickled)
        finally:
            os._exit(code)
    children.append(pid)
wrong = calls(container, "parent", 60)
ended = time.monotonic() + 20
while not all((pathlib.Path(root) / f"ready{n}").exists() for n in range(4)):
    assert time.monotonic() < ended
    time.sleep(0.01)
file.write_text(file.read_text().replace('"model": "m"', '"model": "n"'))
codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
while container.health().generation == 1:
    time.sleep(0.01)
wrong += calls(container, "parent", model="n")
print(wrong, *codes)
container.close()
"""


def test_ten_loops_and_four_threads_get_their_own_answers_and_leave_nothing_open(tmp_path: Path) -> None:
    with echoing() as provider:
        root = echoed(tmp_path, {"near": provider.base_url}, {"c": "near/m"})
        assert run_python("-c", LOOPS, str(root)) == "0 14 112 0 0"


def test_four_forks_with_warm_connections_and_a_watcher_each_get_their_own_answers_and_see_the_edit(
    tmp_path: Path,
) -> None:
    with echoing() as provider:
        root = echoed(tmp_path, {"near": provider.base_url}, {"c": "near/m"})
        assert run_python("-c", FORKS, str(root)) == "0 0 0 0 0"
