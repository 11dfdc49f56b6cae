"""Workers of one machine: they find each other, answer for all, and go over to another config all or none."""

import asyncio
import stat
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from aiogate.server.folder import made_folder
from aiogate.server.siblings import Siblings
from aiogate.server.together import InForce
from tests.server.several import Workers


async def test_each_finds_the_others_and_hears_what_they_answer(workers: Workers) -> None:
    siblings = workers.gateways["2"].siblings
    assert await siblings.names() == ["1", "3"]
    assert await siblings.ask("/livez") == {"1": {"status": "ok"}, "3": {"status": "ok"}}
    assert [said["generation"] for said in await siblings.gather("/readyz?verbose")] == [1, 1]
    assert await workers.gateways["1"].siblings.is_eldest()
    assert not await siblings.is_eldest()


async def test_one_that_stops_is_none_of_them_any_more(workers: Workers) -> None:
    await workers.gateways.pop("1").stop(grace_seconds=0.0)
    assert await workers.gateways["2"].siblings.names() == ["3"]
    assert await workers.gateways["2"].siblings.is_eldest()


async def test_one_that_has_been_killed_is_left_out(workers: Workers) -> None:
    (workers.folder / "4.sock").touch()  # what it leaves
    assert list(await workers.gateways["1"].siblings.ask("/livez")) == ["2", "3"]


async def test_nobody_else_can_lead_a_reload(workers: Workers) -> None:
    url = f"http://{workers.gateways['1'].admin}/siblings/reload/prepare"
    async with aiohttp.ClientSession() as session, session.post(url, json={"number": 7}) as answer:
        assert answer.status == 404


async def test_where_there_is_one_process_nobody_is_asked() -> None:
    assert await Siblings().gather("/livez") == []
    assert await Siblings().is_eldest()


async def test_a_config_is_in_force_in_all_or_in_none(workers: Workers) -> None:
    workers.configure("better")
    report = await workers.gateways["2"].together.reload("api")
    assert (report.successful, report.generation, report.workers) == (True, 2, 3)
    assert workers.numbers() == {2}
    assert workers.words() == {"better"}
    workers.configure("ill")
    report = await workers.gateways["3"].together.reload("api")
    assert not report.successful
    assert [problem.message.partition(":")[0] for problem in report.problems]
    assert workers.numbers() == {2}
    assert workers.words() == {"better"}
    assert not any(gateway.reloads.last.successful for gateway in workers.gateways.values())


async def test_what_hinders_one_hinders_all_and_is_named(workers: Workers) -> None:
    read = workers.gateways["3"].reloads._load
    assert read is not None

    def ill() -> Any:
        settings, pipeline = read()
        pipeline.plugins["mood"].word = "ill"  # type: ignore[attr-defined] # a Mood
        return settings, pipeline

    workers.gateways["3"].reloads._load = ill
    report = await workers.gateways["1"].together.reload("api")
    [problem] = report.problems
    assert "feels ill" in problem.message
    assert problem.message.endswith("(worker 3)")
    assert workers.numbers() == {1}
    assert (await workers.gateways["1"].together.reload("api")).problems == report.problems, "its lock was given back"


async def test_two_that_lead_at_once_come_one_after_the_other(workers: Workers) -> None:
    reports = await asyncio.gather(*(gateway.together.reload("api") for gateway in workers.gateways.values()))
    assert sorted(report.generation for report in reports) == [2, 3, 4]
    assert workers.numbers() == {4}


async def test_a_worker_that_comes_later_goes_over_to_what_is_in_force(workers: Workers) -> None:
    workers.configure("better")
    await asyncio.to_thread(InForce(number=5, fingerprint="").write, workers.folder)
    await workers.start("4")
    assert workers.gateways["4"].generation.number == 5
    report = await workers.gateways["1"].together.reload("api")
    assert report.generation == 6
    assert workers.numbers() == {6}


async def test_the_event_streams_of_all_are_one(tmp_path: Path) -> None:
    """Those that come later are heard too; an event comes whole, however it was written."""

    async def stream(name: str, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for piece in (b"data: one\n", b"\ndata: t", b"wo\n\n"):
            await response.write(piece.replace(b"data: ", b"data: %b-" % name.encode()))
        await asyncio.Event().wait()
        return response

    async def serve(name: str) -> web.AppRunner:
        app = web.Application()
        app.router.add_get("/api/events", partial(stream, name))
        runner = web.AppRunner(app, shutdown_timeout=0.0, handler_cancellation=True)
        await runner.setup()
        await web.UnixSite(runner, tmp_path / f"{name}.sock").start()
        return runner

    runners = [await serve("2")]
    heard = list[tuple[str, bytes]]()
    events = Siblings(tmp_path, "1").events("/api/events")
    async with asyncio.timeout(10):
        heard += [await anext(events), await anext(events)]
        runners.append(await serve("3"))
        heard += [await anext(events), await anext(events)]
    await events.aclose()
    for runner in runners:
        await runner.cleanup()
    assert heard == [
        ("2", b"data: 2-one\n\n"),
        ("2", b"data: 2-two\n\n"),
        ("3", b"data: 3-one\n\n"),
        ("3", b"data: 3-two\n\n"),
    ]


def test_its_directory_is_for_its_user_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    made = made_folder()
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    made.rmdir()
