"""Ctrl-C while a call waits for somebody else."""

from __future__ import annotations

from collections.abc import Callable

import pytest

CALLS = {
    "update": "store.update('n').__enter__()",
    "put": "store['n'] = ctypes.c_uint64(2)",
    "put_many": "store.put_many(['m', 'n'], np.arange(2))",
    "remove": "del store['n']",
    "publish": "with store.loan('n', ctypes.c_uint64) as lent: lent.value = 2",
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_an_interrupt_ends_the_wait_for_an_object(call: str, run: Callable[[str], str]) -> None:
    said = run(f"""
        import ctypes, os, signal, sys, threading, time
        import numpy as np
        import structchunk
        store = structchunk.open(sys.argv[1] + "/a", "x", chunk_capacity=256 << 10, busy_timeout=20)
        store["n"] = ctypes.c_uint64(1)
        holds, done = threading.Event(), threading.Event()
        def change():
            with store.update("n") as number:
                holds.set()
                done.wait(60)
                number.value = 5
        def interrupt():
            time.sleep(0.3)
            os.kill(os.getpid(), signal.SIGINT)
        threads = [threading.Thread(target=target) for target in (change, interrupt)]
        for thread in threads:
            thread.start()
            holds.wait()
        begun = time.monotonic()
        try:
            {call}
            print("done")
        except KeyboardInterrupt:
            print("interrupted", time.monotonic() - begun < 5)
        done.set()
        for thread in threads:
            thread.join()
        print(store.load("n").value)
        store.close()
    """)
    assert said == "interrupted True\n5\n"


def test_a_wait_goes_on_over_signals_that_end_nothing(run: Callable[[str], str]) -> None:
    said = run("""
        import ctypes, signal, sys, threading
        import structchunk
        store = structchunk.open(sys.argv[1] + "/a", "x", busy_timeout=20)
        store["n"] = ctypes.c_uint64(1)
        holds, seen = threading.Event(), threading.Event()
        signal.signal(signal.SIGALRM, lambda *_: seen.set())
        def change():
            with store.update("n") as number:
                holds.set()
                assert seen.wait(60)
                number.value = 5
        thread = threading.Thread(target=change)
        thread.start()
        holds.wait()
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with store.update("n") as number:
            number.value += 1
        thread.join()
        print(store["n"].value)
        store.close()
    """)
    assert said == "6\n"
