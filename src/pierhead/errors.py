"""Everything the registry refuses to do, as one tree.

PierheadError
├── BadRequest              QueryInvalid · HeaderInvalid · ScopeInvalid · AccountInvalid · PasswordRefused
├── RepositoryNameInvalid · EndpointUnknown
├── RepositoryUnknown       RepositoryDeleted · ProjectUnknown
├── MethodNotAllowed
├── PrincipalUnknown · RoleUnknown · GrantUnknown · SecretUnknown · AliasUnknown
├── ChangeRefused           AlreadyThere · RoleInUse · TooMany · SetupOver
├── DigestInvalid · DigestMismatch
├── TagInvalid · TooManyTags
├── ManifestUnknown         ManifestDamaged · ManifestDeleted
├── ManifestInvalid · ManifestTooLarge · ManifestPartUnknown
├── BlobUnknown             ContentUnknown
├── RangeNotSatisfiable
├── UploadOutOfOrder        UploadBusy
├── UploadUnknown           KeyRemoved
├── BodyTooShort · BodyTooSlow
├── SizeInvalid · BlobTooLarge
├── PreconditionFailed
├── StillNeeded · Pinned
├── PromotionInvalid
├── NotRestored             NotInTrash · TimeOver · NameTaken · TagExists · ProjectInTrash · RepositoryInTrash
│                           NeverPointedThere · PointsThere · BytesGone
├── Unauthenticated         TokenInvalid · TokenUnknown
├── AccessDenied            GivesTooMuch · FormRefused
├── OpenModeRefused · TooManyRequests
├── Unavailable             StorageFull · StorageFailed · Busy · MetadataUnavailable · Moving · Moved
│                           SignInUnavailable
├── BlobMissing
├── ForwardFailed · TrailBroken   of the audit trail: never on the wire
├── DirectoryDoubtful       of a job: never on the wire
├── MoveFailed              of a registry into another one: never on the wire
└── ConfigurationError      every mistake of the configuration, or a store that may not be served

A class's docstring is the message its caller reads; the argument is the detail.
"""


class PierheadError(Exception):
    """the request cannot be served"""


class BadRequest(PierheadError):
    """the request is malformed"""


class QueryInvalid(BadRequest):
    """a query parameter is malformed"""


class HeaderInvalid(BadRequest):
    """a header of the request is malformed"""


class ScopeInvalid(BadRequest):
    """the token asks for too much at once"""


class RepositoryNameInvalid(PierheadError):
    """invalid repository name: lower-case letters and digits, . _ - between them, / between segments, at most 255"""


class RepositoryUnknown(PierheadError):
    """no repository has this name"""


class RepositoryDeleted(RepositoryUnknown):
    """this repository was deleted, and can be restored"""

    def __init__(self, name: str, way_back: str) -> None:
        super().__init__(name)
        self.__doc__ = way_back


class ProjectUnknown(RepositoryUnknown):
    """no project has this name"""


class PrincipalUnknown(PierheadError):
    """there is no user, team or robot of this name"""


class AccountInvalid(BadRequest):
    """this cannot be an account, a role or a grant"""


class PasswordRefused(BadRequest):
    """this password is not accepted"""


class RoleUnknown(PierheadError):
    """there is no role of this name"""


class GrantUnknown(PierheadError):
    """there is no such grant"""


class SecretUnknown(PierheadError):
    """there is no such token"""


class AliasUnknown(PierheadError):
    """nothing was renamed from this name"""


class ChangeRefused(PierheadError):
    """this cannot be changed so"""


class AlreadyThere(ChangeRefused):
    """this name is taken"""


class RoleInUse(ChangeRefused):
    """this role is in use; take it from its holders first"""


class TooMany(ChangeRefused):
    """there are as many of these as may be"""


class SetupOver(ChangeRefused):
    """this setup link was used, or another one took its place; the newest is in the log of the last start"""


class EndpointUnknown(PierheadError):
    """there is nothing at this path"""


class MethodNotAllowed(PierheadError):
    """this method is not supported here"""

    def __init__(self, method: str, allowed: list[str]) -> None:
        super().__init__(method)
        self.allowed = allowed


class DigestInvalid(PierheadError):
    """invalid digest: sha256:<64 lower-case hex digits> or sha512:<128> is expected"""


class DigestMismatch(PierheadError):
    """the content does not have the digest that was given"""


class TagInvalid(PierheadError):
    """invalid tag: letters, digits, _ . - are allowed, not starting with . or -, at most 128 characters"""


class TooManyTags(PierheadError):
    """too many tags in one request"""


class ManifestInvalid(PierheadError):
    """the manifest is invalid"""


class ManifestUnknown(PierheadError):
    """the repository holds no such manifest"""


class ManifestDamaged(ManifestUnknown):
    """the bytes of this manifest are damaged; push it again"""


class ManifestDeleted(ManifestUnknown):
    """this manifest was deleted, and can be restored"""

    def __init__(self, reference: str, way_back: str) -> None:
        super().__init__(reference)
        self.__doc__ = way_back


class ManifestTooLarge(PierheadError):
    """the manifest is larger than this registry allows (setting manifests.max_size)"""


class ManifestPartUnknown(PierheadError):
    """the manifest refers to content that the repository does not hold; push it first"""

    def __init__(self, missing: list[str]) -> None:
        super().__init__(", ".join(missing[:10]))
        self.missing = missing


class BlobUnknown(PierheadError):
    """the repository holds no such blob"""


class ContentUnknown(BlobUnknown):
    """no blob and no manifest here has this digest"""


class RangeNotSatisfiable(PierheadError):
    """the range lies outside the blob"""

    def __init__(self, size: int) -> None:
        super().__init__(f"the blob has {size} bytes")
        self.size = size


class UploadUnknown(PierheadError):
    """this repository has no such upload session; start a new one"""


class KeyRemoved(UploadUnknown):
    """the bytes of this upload lay unused for so long that they were removed; start a new one"""


class UploadOutOfOrder(PierheadError):
    """the chunk does not start where the upload session stands"""

    def __init__(self, upload_id: str, offset: int) -> None:
        super().__init__(f"the session holds {offset} bytes")
        self.upload_id = upload_id
        self.offset = offset


class UploadBusy(UploadOutOfOrder):
    """another request is writing to this upload session; ask again shortly"""

    retry_after = 1  # seconds


class BodyTooShort(PierheadError):
    """the client left before its body was complete"""


class BodyTooSlow(PierheadError):
    """the client sent nothing for too long (setting server.idle_body_seconds)"""


class BlobTooLarge(PierheadError):
    """the blob is larger than this registry allows (setting uploads.max_size)"""


class SizeInvalid(PierheadError):
    """the body's length is not the one that was stated"""


class StillNeeded(PierheadError):
    """a manifest of this repository needs this content; delete that manifest first"""


class PreconditionFailed(PierheadError):
    """the reference is not what the request expects (If-Match, If-None-Match); look again and decide anew"""


class Pinned(PierheadError):
    """this is pinned: nothing moves or removes it before the pin is taken off"""


class PromotionInvalid(PierheadError):
    """the promotion is invalid: each tag stands in it once"""


class NotRestored(PierheadError):
    """this cannot be restored"""


class NotInTrash(NotRestored):
    """nothing of this name is in the trash"""


class TimeOver(NotRestored):
    """its time in the trash is over"""


class NameTaken(NotRestored):
    """this name is in use again"""


class TagExists(NotRestored):
    """this tag exists again; what it points to is not touched"""


class ProjectInTrash(NotRestored):
    """its project is in the trash"""


class RepositoryInTrash(NotRestored):
    """its repository is in the trash"""


class NeverPointedThere(NotRestored):
    """the tag never pointed there, so it cannot be rolled back to it"""


class PointsThere(NotRestored):
    """the tag points there already"""


class BytesGone(NotRestored):
    """the history knows this digest, but its manifest is gone: its time in the trash was over"""


class Unauthenticated(PierheadError):
    """authentication required"""


class TokenInvalid(Unauthenticated):
    """this bearer token is not valid, or is no longer"""


class TokenUnknown(Unauthenticated):
    """this refresh token is not valid, or is no longer; sign in again"""


class AccessDenied(PierheadError):
    """access to this repository is denied"""


class GivesTooMuch(AccessDenied):
    """nobody gives or takes what he does not hold himself"""


class FormRefused(AccessDenied):
    """this form is too old, or no page of this registry sent it; load the page again, then send it anew"""


class OpenModeRefused(PierheadError):
    """without accounts only direct local clients are served; start it with --htpasswd FILE or --allow-anonymous"""


class TooManyRequests(PierheadError):
    """too many requests; wait a little"""

    def __init__(self, detail: str = "", *, retry_after: int = 1) -> None:
        super().__init__(detail)
        self.retry_after = retry_after  # seconds


class Unavailable(PierheadError):
    """the registry cannot do this now; try again later"""

    retry_after = 5  # seconds


class SignInUnavailable(Unavailable):
    """where this account signs in gives no answer; try again later"""


class Busy(Unavailable):
    """the registry is busy; try again shortly"""

    retry_after = 1


class StorageFull(Unavailable):
    """the registry's storage is full; free space on its disk and try again"""

    retry_after = 60


class StorageFailed(Unavailable):
    """the registry's storage failed; its operator finds the cause in the log"""


class MetadataUnavailable(Unavailable):
    """the registry's database cannot be reached or written"""


class Moving(Unavailable):
    """the registry is moving to other storage and takes no pushes for a few seconds; push again"""

    retry_after = 2


class Moved(Unavailable):
    """this registry has moved and is served elsewhere; its operator knows where"""

    retry_after = 60


class BlobMissing(PierheadError):
    """the bytes of this blob are missing from storage; push it again"""


class ForwardFailed(PierheadError):
    """events could not be handed on"""


class TrailBroken(PierheadError):
    """an event is not as it was sealed, so neither it nor any later one is let go of"""


class MoveFailed(PierheadError):
    """the registry could not be copied"""


class DirectoryDoubtful(PierheadError):
    """the directory knows too many of its people no more; nobody was suspended"""

    def __init__(self, source: str, missing: int, people: int) -> None:
        super().__init__(
            f"{source} knows {missing} of {people} users no more; nobody was suspended. Look at base_dn and filter "
            f"with `pierhead ldap check`; where they did leave, raise its setting leavers_share for a while"
        )


class ConfigurationError(PierheadError):
    """the configuration is invalid"""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes
