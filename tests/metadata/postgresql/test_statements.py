import pytest

from pierhead.metadata.postgresql.statements import numbered


@pytest.mark.parametrize(
    ("sql", "text", "names"),
    [
        ("SELECT 1", "SELECT 1", ()),
        ("SELECT :a, :b, :a", "SELECT $1, $2, $1", ("a", "b")),
        ("SELECT :a::text", "SELECT $1::text", ("a",)),
        ("SELECT a::bigint", "SELECT a::bigint", ()),
        ("SELECT ':a', :b", "SELECT ':a', $1", ("b",)),
        ("SELECT 'it''s :a', :b", "SELECT 'it''s :a', $1", ("b",)),
        ('SELECT ":a", :b', 'SELECT ":a", $1', ("b",)),
        ("SELECT :b -- not :a\n, :c", "SELECT $1 -- not :a\n, $2", ("b", "c")),
        ("SELECT /* :a\n:b */ :c", "SELECT /* :a\n:b */ $1", ("c",)),
        ("SELECT x[1:2]", "SELECT x[1:2]", ()),
        ("IN (:d0, :d1, :d10)", "IN ($1, $2, $3)", ("d0", "d1", "d10")),
    ],
)
def test_names_become_numbers(sql: str, text: str, names: tuple[str, ...]) -> None:
    statement = numbered(sql)

    assert (statement.text, statement.names) == (text, names)


def test_values_stand_in_the_order_of_their_numbers() -> None:
    assert numbered("SELECT :b, :a, :b").values({"a": 1, "b": "x", "unused": None}) == ["x", 1]


def test_what_only_reads_is_known() -> None:
    assert numbered("\n   select 1").reads
    assert not numbered("INSERT INTO a SELECT :b").reads
    assert not numbered("WITH a AS (DELETE FROM b RETURNING c) SELECT * FROM a").reads
