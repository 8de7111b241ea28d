"""That the look at the log after each module (conftest's `server`) sees what it is there for."""

from pathlib import Path

import pytest

from tests.distribution.logs import failures


@pytest.mark.parametrize(
    "line",
    [
        '{"level":"info","logger":"pierhead.access","status":500}',
        '{"level":"info","logger":"pierhead.access","status":503}',
        '{"level":"error","message":"a request failed unexpectedly"}',
        "Traceback (most recent call last):",
        "thread 'tokio' panicked at src/lib.rs",
    ],
)
def test_a_failure_in_the_log_is_seen(tmp_path: Path, line: str) -> None:
    log = tmp_path / "log"
    log.write_text(f'{{"level":"info","status":200}}\n{line}\n')

    assert failures(log) == [line]


@pytest.mark.parametrize("line", ['{"level":"info","status":404}', '{"level":"warning","message":"not ready"}', ""])
def test_what_is_no_failure_is_not(tmp_path: Path, line: str) -> None:
    log = tmp_path / "log"
    log.write_text(f"{line}\n")

    assert failures(log) == []
