"""The file of accounts."""

import logging
import os
from pathlib import Path

import pytest

from pierhead.access.hashes import cost_of
from pierhead.access.htpasswd import AccountsFile, parse
from pierhead.errors import ConfigurationError
from tests.access.hashed import MAKERS, fast, htpasswd, write


def look_again(file: AccountsFile) -> set[str]:
    """What the file says once its second is over."""
    file._look_again = 0.0
    return set(file.current().by_name)


@pytest.mark.parametrize("kind", MAKERS)
def test_what_the_tools_write_is_verified(kind: str) -> None:
    account = parse(MAKERS[kind]("admin", "pässword")).by_name["admin"]

    assert account.accepts("pässword".encode())
    assert not account.accepts(b"password")
    assert not account.accepts(b"")


def test_bcrypt_reads_72_bytes_as_htpasswd_does() -> None:
    account = parse(fast("admin", "a" * 72 + "b")).by_name["admin"]

    assert account.accepts(b"a" * 72 + b"b")
    assert account.accepts(b"a" * 72 + b"c")
    assert not account.accepts(b"a" * 71)


@pytest.mark.parametrize("kind", MAKERS)
def test_a_password_with_a_nul_is_wrong_whatever_the_hash(kind: str) -> None:
    account = parse(MAKERS[kind]("admin", "secret")).by_name["admin"]

    assert not account.accepts(b"secret\0")


def test_comments_and_empty_lines_are_passed_over() -> None:
    accounts = parse(f"# accounts\n\n{fast('a', 'x')}\r\n  \n{fast('b', 'x')}")

    assert set(accounts.by_name) == {"a", "b"}


def test_every_bad_line_is_told_by_its_number_and_never_by_its_content() -> None:
    lines = ["plain:hunter2", "nocolon", ":hash", "empty:", "des:jCDwKcpSZV2ZY", "md5:$1$YuTBjMjn$UNOF", "a\x01:x"]

    with pytest.raises(ConfigurationError) as caught:
        parse("\n".join(lines))

    assert [mistake.partition(":")[0] for mistake in caught.value.mistakes] == [f"line {n}" for n in range(1, 8)]
    assert "hunter2" not in str(caught.value)
    assert "plain text and DES are refused" in caught.value.mistakes[0]


def test_a_name_that_stands_twice_is_a_mistake() -> None:
    with pytest.raises(ConfigurationError, match="line 2: this name stands in the file twice"):
        parse(f"{fast('a', 'x')}\n{fast('a', 'y')}")


def test_a_thousand_mistakes_are_told_briefly() -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse("bad\n" * 1000)

    assert caught.value.mistakes[-1] == "and 980 more"


def test_the_decoy_costs_what_most_accounts_cost() -> None:
    accounts = parse("\n".join([MAKERS["apr1"]("a", "x"), fast("b", "x"), fast("c", "x")]))

    assert accounts.decoy is not None
    assert cost_of(accounts.decoy.hashed) == "$2y$04"


def test_costs_tell_rounds_and_parameters_apart() -> None:
    lines = [htpasswd(*flags)("a", "x") for flags in (["-2"], ["-2", "-r", "1234"], ["-B"], ["-B", "-C", "4"])]

    assert len({cost_of(line.removeprefix("a:")) for line in lines}) == 4


def test_an_account_does_not_show_its_hash() -> None:
    account = parse(fast("a", "x")).by_name["a"]

    assert account.hashed not in repr(account)


def test_a_missing_file_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        AccountsFile(tmp_path / "none")


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = write(tmp_path / "accounts", fast("a", "x"))
    file = AccountsFile(path)
    write(path, fast("b", "x"), age=5)

    assert look_again(file) == {"b"}


def test_an_unchanged_file_is_the_same_object(tmp_path: Path) -> None:
    file = AccountsFile(write(tmp_path / "accounts", fast("a", "x")))
    before = file.current()
    look_again(file)

    assert file.current() is before


def test_a_second_change_within_the_same_tick_of_the_clock_is_seen(tmp_path: Path) -> None:
    path = write(tmp_path / "accounts", fast("a", "x"), age=0)
    file = AccountsFile(path)
    moment = path.stat()
    path.write_text(fast("b", "x") + "\n")
    os.utime(path, ns=(moment.st_atime_ns, moment.st_mtime_ns))

    assert look_again(file) == {"b"}


def test_a_swapped_symlink_is_a_change(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "accounts", fast(name, "x"))
    data = tmp_path / "..data"
    data.symlink_to("a")
    file = AccountsFile(data / "accounts")
    (tmp_path / "new").symlink_to("b")
    (tmp_path / "new").rename(data)

    assert look_again(file) == {"b"}


def test_a_broken_new_file_keeps_the_accounts_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / "accounts", fast("a", "x"))
    file = AccountsFile(path)
    write(path, "b:hunter2", age=5)

    with caplog.at_level(logging.ERROR):
        assert [look_again(file) for _ in range(3)] == [{"a"}] * 3

    assert len(caplog.records) == 1
    assert "hunter2" not in caplog.text


def test_a_file_that_is_gone_for_a_moment_keeps_the_accounts(tmp_path: Path) -> None:
    path = write(tmp_path / "accounts", fast("a", "x"))
    file = AccountsFile(path)
    path.unlink()

    assert look_again(file) == {"a"}

    write(path, fast("b", "x"))

    assert look_again(file) == {"b"}


def test_a_file_is_empty_only_when_it_stays_so(tmp_path: Path) -> None:
    path = write(tmp_path / "accounts", fast("a", "x"))
    file = AccountsFile(path)
    write(path, age=0)

    assert look_again(file) == {"a"}

    write(path, age=5)

    assert look_again(file) == set()
