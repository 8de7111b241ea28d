"""How each refusal reads in the OCI error format.

The codes are the fourteen of distribution-spec 1.1.1, "Error Codes"; where none fits
(a full disk, an unexpected exception) the nearest one stands, and the status tells.
"""

from pierhead import errors

# A class that is not here reads as its nearest base that is.
OCI_ERRORS: dict[type[errors.PierheadError], tuple[str, int]] = {
    errors.PierheadError: ("UNSUPPORTED", 500),
    errors.BadRequest: ("UNSUPPORTED", 400),
    errors.RepositoryNameInvalid: ("NAME_INVALID", 400),
    errors.RepositoryUnknown: ("NAME_UNKNOWN", 404),
    errors.EndpointUnknown: ("UNSUPPORTED", 404),
    errors.PrincipalUnknown: ("UNSUPPORTED", 404),
    errors.RoleUnknown: ("UNSUPPORTED", 404),
    errors.GrantUnknown: ("UNSUPPORTED", 404),
    errors.SecretUnknown: ("UNSUPPORTED", 404),
    errors.AliasUnknown: ("NAME_UNKNOWN", 404),
    errors.ChangeRefused: ("DENIED", 409),
    errors.MethodNotAllowed: ("UNSUPPORTED", 405),
    errors.DigestInvalid: ("DIGEST_INVALID", 400),
    errors.DigestMismatch: ("DIGEST_INVALID", 400),
    errors.TagInvalid: ("MANIFEST_INVALID", 400),
    errors.TooManyTags: ("MANIFEST_INVALID", 414),
    errors.ManifestInvalid: ("MANIFEST_INVALID", 400),
    errors.ManifestUnknown: ("MANIFEST_UNKNOWN", 404),
    errors.ManifestTooLarge: ("SIZE_INVALID", 413),
    errors.ManifestPartUnknown: ("MANIFEST_BLOB_UNKNOWN", 404),
    errors.BlobUnknown: ("BLOB_UNKNOWN", 404),
    errors.BlobMissing: ("BLOB_UNKNOWN", 404),
    errors.RangeNotSatisfiable: ("SIZE_INVALID", 416),
    errors.UploadUnknown: ("BLOB_UPLOAD_UNKNOWN", 404),
    errors.UploadOutOfOrder: ("BLOB_UPLOAD_INVALID", 416),
    errors.BodyTooShort: ("BLOB_UPLOAD_INVALID", 400),
    errors.BodyTooSlow: ("BLOB_UPLOAD_INVALID", 408),
    errors.SizeInvalid: ("SIZE_INVALID", 400),
    errors.BlobTooLarge: ("SIZE_INVALID", 413),
    errors.PreconditionFailed: ("DENIED", 412),
    errors.StillNeeded: ("DENIED", 409),
    errors.Pinned: ("DENIED", 409),
    errors.PromotionInvalid: ("UNSUPPORTED", 400),
    errors.NotRestored: ("DENIED", 409),
    errors.Unauthenticated: ("UNAUTHORIZED", 401),
    errors.AccessDenied: ("DENIED", 403),
    errors.OpenModeRefused: ("DENIED", 403),
    errors.TooManyRequests: ("TOOMANYREQUESTS", 429),
    errors.Unavailable: ("TOOMANYREQUESTS", 503),
    errors.StorageFull: ("DENIED", 507),
}


def oci_error(error: errors.PierheadError) -> tuple[str, int]:
    """Code and HTTP status of a refusal."""
    return next(OCI_ERRORS[kind] for kind in type(error).__mro__ if kind in OCI_ERRORS)
