import asyncio
import threading

from asgiref.sync import sync_to_async

from streamloom.request_threads import RequestThreads


def threads_of_requests(most, requests, *, at_once):
    """The names of the threads that served so many requests, and how many ran at the same time at most."""
    used, running, peak = [], 0, 0
    lock = threading.Lock()
    together = threading.Barrier(at_once)

    def work():
        nonlocal running, peak
        with lock:
            used.append(threading.current_thread().name)
            running += 1
            peak = max(peak, running)
        together.wait(10)
        with lock:
            running -= 1

    async def application(scope, receive, send):
        await sync_to_async(work)()

    async def serve():
        server = RequestThreads(application, most)
        await asyncio.gather(*(server({"type": "http"}, None, None) for _ in range(requests)))

    asyncio.run(serve())
    return used, peak


def test_requests_one_after_the_other_are_served_by_the_same_thread():
    used = []

    async def application(scope, receive, send):
        used.append(await sync_to_async(threading.get_ident)())

    async def serve():
        server = RequestThreads(application)
        for _ in range(5):
            await server({"type": "http"}, None, None)

    asyncio.run(serve())

    assert len(used) == 5
    assert len(set(used)) == 1


def test_requests_at_the_same_time_have_a_thread_each_and_more_wait_their_turn():
    used, peak = threads_of_requests(2, 6, at_once=2)

    assert len(used) == 6
    assert len(set(used)) == 2
    assert peak == 2


def test_a_request_that_fails_gives_its_thread_back():
    async def application(scope, receive, send):
        raise ConnectionError

    async def serve():
        server = RequestThreads(application, 1)
        return await asyncio.gather(*(server({"type": "http"}, None, None) for _ in range(3)), return_exceptions=True)

    assert [type(error) for error in asyncio.run(serve())] == [ConnectionError] * 3
