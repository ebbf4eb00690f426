"""Citadel's errors: one type per door, one stable code per reason.

The type says which status a server answers with; the code and the message say why, for logs and for people.
Messages never hold key or token material.
"""

from __future__ import annotations

from enum import StrEnum

from argosy.core.errors import ArgosyError


class Code(StrEnum):
    """Stable codes of Citadel's findings; never re-used."""

    CSR_SHAPE = "CIT0001"
    CSR_SIGNATURE = "CIT0002"
    CSR_KEY = "CIT0003"
    CSR_NAMES = "CIT0004"
    TTL_RANGE = "CIT0010"
    SIGNER_EXPIRED = "CIT0011"
    IDENTITY_NAME = "CIT0012"
    NOT_OUR_ROOT = "CIT0013"
    TOKEN_SHAPE = "CIT0020"
    TOKEN_SIGNATURE = "CIT0021"
    TOKEN_EXPIRED = "CIT0022"
    TOKEN_NOT_YET_VALID = "CIT0023"
    TOKEN_AUDIENCE = "CIT0024"
    TOKEN_ISSUER = "CIT0025"
    TOKEN_SUBJECT = "CIT0026"
    TOKEN_REVIEW = "CIT0027"
    SVID_SHAPE = "CIT0030"
    SVID_URI_SAN = "CIT0031"
    SVID_ID = "CIT0032"
    SVID_IS_CA = "CIT0033"
    SVID_KEY_USAGE = "CIT0034"
    SVID_EXTENDED_KEY_USAGE = "CIT0035"
    SVID_TRUST_DOMAIN = "CIT0036"
    SVID_CHAIN = "CIT0037"
    SVID_REVOKED = "CIT0038"
    CLOCK_SKEW = "CIT0039"
    CA_FILE_MISSING = "CIT0040"
    CA_FILE_PEM = "CIT0041"
    CA_KEY = "CIT0042"
    CA_KEY_MISMATCH = "CIT0043"
    CA_NOT_A_CA = "CIT0044"
    CA_VALIDITY = "CIT0045"
    CA_CHAIN = "CIT0046"
    CA_PATH_LENGTH = "CIT0047"
    CA_TRUST_DOMAIN = "CIT0048"
    CA_UNUSABLE = "CIT0049"
    CA_FILE_MODE = "CIT0050"
    CRL_FILE = "CIT0051"
    CRL_MISSING = "CIT0052"
    CRL_FEDERATION = "CIT0053"
    BUNDLE_SHAPE = "CIT0060"
    BUNDLE_EMPTY = "CIT0061"
    BUNDLE_SOURCE = "CIT0062"
    BUNDLE_OWN = "CIT0063"
    LAGGARDS = "CIT0070"
    ROTATION_STATE = "CIT0071"
    RELOAD_UNSAFE = "CIT0072"
    EXPIRES = "CIT0073"
    EXPIRED = "CIT0074"
    RELOAD_FAILED = "CIT0075"
    IMPERSONATION = "CIT0076"


class CSRError(ArgosyError):
    """The certificate signing request itself is refused."""


class IssueError(ArgosyError):
    """The request is sound, but this authority will not or cannot sign what was asked for."""


class TokenError(ArgosyError):
    """The bearer token proves nothing."""

    @property
    def reason(self) -> Code:
        """Which of the TOKEN codes it was."""
        return Code(self.findings[0].code)


class SVIDError(ArgosyError):
    """The certificate chain is no valid X.509-SVID of a trust domain that we trust."""


class CAFileError(ArgosyError):
    """A file of the certificate authority cannot be used; the finding's origin names the file and the line."""


class TransitionError(ArgosyError):
    """A step of a root's rotation, or a changed file of the authority, is refused: what runs would suffer."""


class BundleError(ArgosyError):
    """The text is no usable trust bundle."""
