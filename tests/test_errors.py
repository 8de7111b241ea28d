"""The tree of refusals, and how each reads on the wire."""

import pytest

from pierhead import errors
from pierhead.distribution.errors import OCI_ERRORS, oci_error
from pierhead.errors import (
    ConfigurationError,
    DirectoryDoubtful,
    ForwardFailed,
    MoveFailed,
    PierheadError,
    TrailBroken,
)

# distribution-spec 1.1.1, "Error Codes".
CODES = {
    "BLOB_UNKNOWN",
    "BLOB_UPLOAD_INVALID",
    "BLOB_UPLOAD_UNKNOWN",
    "DIGEST_INVALID",
    "MANIFEST_BLOB_UNKNOWN",
    "MANIFEST_INVALID",
    "MANIFEST_UNKNOWN",
    "NAME_INVALID",
    "NAME_UNKNOWN",
    "SIZE_INVALID",
    "UNAUTHORIZED",
    "DENIED",
    "UNSUPPORTED",
    "TOOMANYREQUESTS",
}
# Raised before anything is served, or by commands.
NEVER_ON_THE_WIRE = {ConfigurationError, DirectoryDoubtful, ForwardFailed, MoveFailed, TrailBroken}
TREE = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, PierheadError)]


def test_the_specification_has_fourteen_codes() -> None:
    assert len(CODES) == 14


@pytest.mark.parametrize("kind", TREE)
def test_every_refusal_has_a_row_of_its_own_or_of_a_base_below_the_root(kind: type[PierheadError]) -> None:
    rows = [base for base in kind.__mro__ if base in OCI_ERRORS and base is not PierheadError]

    assert rows or kind is PierheadError or kind in NEVER_ON_THE_WIRE


@pytest.mark.parametrize("kind", TREE)
def test_every_refusal_reads_as_a_code_of_the_specification(kind: type[PierheadError]) -> None:
    code, status = oci_error(kind.__new__(kind))

    assert code in CODES
    assert 400 <= status < 600


@pytest.mark.parametrize("kind", TREE)
def test_every_refusal_has_a_message_of_its_own(kind: type[PierheadError]) -> None:
    message = kind.__dict__.get("__doc__")

    assert message
    assert message.strip() == message
    assert len(message) > 10


@pytest.mark.parametrize("kind", [kind for kind in TREE if kind is not PierheadError])
def test_only_what_is_unavailable_is_the_servers_fault(kind: type[PierheadError]) -> None:
    _, status = oci_error(kind.__new__(kind))

    assert status < 500 or issubclass(kind, errors.Unavailable) or kind in NEVER_ON_THE_WIRE


def test_the_drawing_names_every_class() -> None:
    drawing = errors.__doc__ or ""

    assert not [kind.__name__ for kind in TREE if kind.__name__ not in drawing]
