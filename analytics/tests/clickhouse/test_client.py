import threading
from concurrent.futures import ThreadPoolExecutor

from analytics.clickhouse.client import client, close_clients


def test_a_thread_keeps_its_client(clickhouse):
    assert client() is client()


def test_each_thread_has_a_client_of_its_own(clickhouse):
    seen = []
    thread = threading.Thread(target=lambda: seen.append(client()))
    thread.start()
    thread.join()

    assert seen[0] is not clickhouse


def test_threads_ask_at_once_and_get_their_own_answers(clickhouse):
    def ask(number: int) -> int:
        return client().query("SELECT {x:Int64} * 2", parameters={"x": number}).first_row[0]

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(ask, range(200)))

    assert answers == [number * 2 for number in range(200)]


def test_what_was_stored_is_there_after_the_engine_was_closed(clickhouse):
    clickhouse.command("INSERT INTO indicators VALUES ('1m', 'BTCUSDT', '2019-01-01 00:00:00', 1, map('sma_20', 1.5))")

    close_clients()

    assert client().query("SELECT values FROM indicators FINAL").result_rows == [({"sma_20": 1.5},)]
