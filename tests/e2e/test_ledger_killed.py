"""``kill -9`` under load of calls and streams, again and again on one journal: records, totals and chain stay whole.

``AIOGATE_LEDGER_KILLS=100`` kills so often.
"""

import asyncio
import os
import random
import sys
from collections import Counter
from pathlib import Path

import orjson

from aiogate.journal.audit import audit
from aiogate.journal.reader import records
from aiogate.journal.sums import spent_since
from tests.e2e.test_budgets_killed import path, serve_and_kill

__all__ = ["path"]

KILLS = int(os.environ.get("AIOGATE_LEDGER_KILLS", "3"))
COMMAND = [sys.executable, "-c", "from aiogate.cli import main; main()"]


async def test_no_finished_response_is_without_its_record_and_none_has_two(path: Path) -> None:
    journal, ended = path.parent / "journal", set[str]()
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    for _ in range(KILLS):
        await serve_and_kill(path, ended, chance.randrange(20, 300))
        found = await asyncio.to_thread(lambda: list(records(journal)))
        times = Counter(record["request_id"] for record in found)
        assert ended <= times.keys(), f"seed {seed}"
        assert set(times.values()) == {1}, f"seed {seed}"
        spent = await asyncio.to_thread(spent_since, journal, 0.0, ["agent"])
        for agent in {record["agent"] for record in found}:
            of_it = [record for record in found if record["agent"] == agent]
            assert spent[agent,].calls == len(of_it), f"seed {seed}"
            assert spent[agent,].cost_nanousd == sum(record["cost_nanousd"] or 0 for record in of_it), f"seed {seed}"
        report = await asyncio.to_thread(audit, journal)
        assert report.intact, f"seed {seed}: {report.findings}"
        assert report.records == len(found)
    assert len({record.name for record in journal.glob("*.jsonl*")}) >= KILLS
    command = [*COMMAND, "audit", "verify", "--config", str(path), "--json"]
    verified = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    said, _ = await verified.communicate()
    assert (verified.returncode, orjson.loads(said)["records"]) == (0, len(found))
