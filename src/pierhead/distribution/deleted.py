"""What a 404 says of something that was deleted and can come back, to those who may restore here.

Everybody else gets the answer of what never was, byte for byte.
"""

from pierhead.distribution.call import Call
from pierhead.errors import ManifestDeleted, PierheadError, RepositoryDeleted, RepositoryUnknown
from pierhead.models import Digest, TagName
from pierhead.verbs import Verb


async def told(call: Call, error: PierheadError, reference: Digest | TagName | None = None) -> PierheadError:
    """The refusal, with the way back where there is one."""
    repository = call.repository
    if Verb.RESTORE not in call.held:
        return error
    way_back = await call.face.registry.trash.way_back(repository, reference)
    if way_back is None:
        return error
    if isinstance(error, RepositoryUnknown):
        return RepositoryDeleted(repository, way_back)
    return ManifestDeleted(str(error), way_back)
