"""Keeps the authority in force: loads it, follows its files, walks a rotation of the root, tells everybody.

Given the folders and a clock; gives the current `Authority` and `TrustState`, and wakes those who wait for a change.
Whoever holds a certificate reports here (`ledger`). A change of the files that would make proxies refuse each other, or
that cannot be read, is not taken: what was in force stays, and `alarm` says why until it is mended.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from argosy.citadel.authority import Authority
from argosy.citadel.bundle import TrustBundle, encode_bundle
from argosy.citadel.certificates import seconds
from argosy.citadel.errors import CAFileError, Code, TransitionError
from argosy.citadel.facts import dump_authority, expiry_findings, named_certificates
from argosy.citadel.pem import encode_certificate
from argosy.citadel.revocation import complete_crls
from argosy.citadel.transition import anchor, check_change, laggards_error, root_of
from argosy.citadel.trust import Holder, Ledger, Phase, TrustState
from argosy.core.clock import Clock
from argosy.core.errors import ArgosyError, Finding, Level
from argosy.edge.ca_files import CERTIFICATE_FILE, CHAIN_FILE, FOUR, ROOT_FILE, CAFolders, Rotation, load_ca

logger = logging.getLogger(__name__)

CRL_WARN_S = 3_600.0
SUSPECT_S = 3_600.0
SUSPECTS_MAX = 1_000
LOOK_S = 1.0
"""How often files are looked at, and what is due is done."""


class CAKeeper:
    """The authority of this process. Everything happens in one task's loop; nothing here waits but `wait_*`."""

    def __init__(self, folders: CAFolders, clock: Clock) -> None:
        """Load the authority; raises `CAFileError`, since without a good one nothing may start."""
        self.folders = folders
        self._clock = clock
        self.alarm: ArgosyError | None = None
        self.ledger: Ledger = folders.ledger()
        self._noted = dict(self.ledger.reports)
        self._listeners: list[Callable[[], None]] = []
        self._changed = asyncio.Event()
        self.rotation: Rotation = folders.rotation()
        self._resume()
        self._seen = folders.signature()
        self.crls_end = float("inf")
        self._version = 0
        self._suspects: dict[str, tuple[int, float]] = {}
        self._take(folders.load(now=clock.now()))

    # -- what is in force -------------------------------------------------------------------------------------------

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` after every change of the authority or of what is believed."""
        self._listeners.append(listener)

    def _take(self, authority: Authority) -> None:
        """Put an authority in force, with all that goes with it; raises `CAFileError` and then changes nothing."""
        crls, crls_end = self._lists(authority, self.rotation.crls)
        federated = self.folders.federated()
        if crls and federated:
            message = "revocation lists and federated trust domains cannot be had together"
            hint = "the proxy's validator of several trust domains does not look at lists: remove one of the two"
            raise CAFileError.of(Code.CRL_FEDERATION, message, hint=hint)
        self.crls_end = crls_end
        self.bundle: TrustBundle = self.folders.next_sequence(authority.roots)
        self.authority = authority
        self._version = max(self._version + 1, int(self._clock.now() * 1000))
        self.trust: TrustState = authority.trust(
            sequence=self.bundle.sequence or 0, version=self._version, crls=crls, federated=federated
        )
        self._wake()
        for listener in self._listeners:
            listener()

    def _lists(self, authority: Authority, more: tuple[str, ...]) -> tuple[tuple[str, ...], float]:
        """The revocation lists that proxies need while `authority` is in force; raises `CAFileError`."""
        file = self.folders.crl_file()
        if file is None:
            return (), float("inf")
        return complete_crls(file, authority, more=more, now=self._clock.now())

    def exported(self) -> bytes:
        """This trust domain's bundle, for others to import."""
        return encode_bundle(self.bundle)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    @property
    def changed(self) -> asyncio.Event:
        """Set at the next change; ask for it before looking at what is in force."""
        return self._changed

    # -- following the files ----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Look at the files and note who holds what, until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        """Take changed files over if they are good; tried again while they are not."""
        now = self._clock.now()
        self.ledger.forget_expired(now)
        if self.ledger.reports != self._noted:
            self._note_ledger()
        signature = self.folders.signature()
        if signature == self._seen and self.alarm is None:
            return
        try:
            found = self.folders.load(now=now)
            check_change(self.authority, found, self.trust, self.ledger, now=now)
            self._take(found)
        except ArgosyError as error:
            if self.alarm is None or str(error) != str(self.alarm):
                logger.error("the authority's changed files are not taken, the old one stays: %s", error)
            self.alarm = error
        else:
            if signature != self._seen or self.alarm is not None:
                logger.warning("the authority's changed files are in force: signer %.12s", self.trust.signer)
            self.alarm = None
        self._seen = signature

    def _note_ledger(self) -> None:
        """Remember who holds what; tried again at the next look where that cannot be written."""
        try:
            self.folders.note_ledger(self.ledger)
        except CAFileError as error:
            logger.error("who holds what is not noted: %s", error)
        else:
            self._noted = dict(self.ledger.reports)

    def _own_change(self, authority: Authority) -> None:
        """After replacing the files ourselves: in force at once, without the check of a stranger's change."""
        self.alarm = None
        self._seen = self.folders.signature()
        self._take(authority)

    # -- reports ----------------------------------------------------------------------------------------------------

    def report(self, reporter: str, holders: tuple[Holder, ...]) -> None:
        """Take what a process says of its holders."""
        self.ledger.report(reporter, holders)
        self._wake()

    def leave(self, reporter: str) -> None:
        """A process went away."""
        self.ledger.leave(reporter)
        self._wake()

    def suspect(self, caller: str) -> None:
        """A proved caller asked for a certificate of somebody else; told of for an hour."""
        now = self._clock.now()
        self._suspects = {one: times for one, times in self._suspects.items() if times[1] > now - SUSPECT_S}
        if caller in self._suspects or len(self._suspects) < SUSPECTS_MAX:
            count, _last = self._suspects.get(caller, (0, now))
            self._suspects[caller] = (count + 1, now)

    def laggards(self) -> tuple[str, ...]:
        """Who has not done yet what the present step asks of everybody."""
        return self.ledger.laggards(self.trust, leaves=self.rotation.phase is not Phase.ADDING)

    async def wait_settled(self, wait_s: float) -> tuple[str, ...]:
        """Wait until nobody lags behind; gives those that still do."""
        try:
            async with asyncio.timeout(wait_s):
                while self.laggards():
                    await self.changed.wait()
        except TimeoutError:
            pass
        return self.laggards()

    # -- rotation ---------------------------------------------------------------------------------------------------

    def _resume(self) -> None:
        """Finish what a crash may have cut: once noted, the switch to the next authority is done."""
        if self.rotation.phase is Phase.SIGNING and all((self.folders.next / name).exists() for name in FOUR):
            self.folders.adopt_next(_certificates(self.rotation.roots))
            self.folders.drop_next()
        elif self.rotation.phase is Phase.ADDING:
            self.folders.replace_roots(_certificates(self.rotation.roots))
        else:
            self.folders.drop_next()

    async def step(self, files: dict[str, str] | None, wait_s: float) -> Phase:
        """Take the next step of a rotation once nobody lags behind in the present one.

        Errors: TransitionError naming the laggards if they have not caught up in `wait_s`; `CAFileError` for files.
        """
        if self.rotation.phase is Phase.SETTLED:
            self._add(files)
        elif files is not None:
            message = f"a rotation is under way ({self.rotation.phase.value}): its next authority is chosen already"
            raise TransitionError.of(Code.ROTATION_STATE, message, hint="finish it first: `argosy ca rotate`")
        else:
            if late := await self.wait_settled(wait_s):
                raise laggards_error(_WAITED[self.rotation.phase], late)
            if self.rotation.phase is Phase.ADDING:
                self._switch()
            elif self.rotation.phase is Phase.SIGNING:
                self._retire()
        logger.warning("root rotation: now %s", self.rotation.phase.value)
        return self.rotation.phase

    def _add(self, files: dict[str, str] | None) -> None:
        now = self._clock.now()
        following = self.folders.prepare_next(files, now=now)
        if following.signer == self.authority.signer:
            self.folders.drop_next()
            raise TransitionError.of(Code.ROTATION_STATE, "that authority signs already")
        lists = self._list_of(following)
        roots = _union(self.authority.roots, following.roots)
        self._lists(self.authority.with_roots(roots), lists)
        self._note(Phase.ADDING, keep=following.roots, roots=roots, crls=lists)
        self.folders.replace_roots(roots)
        self._own_change(self.folders.load(now=now))

    def _switch(self) -> None:
        now, roots = self._clock.now(), self.authority.roots
        lists = self._list_of(self.authority)
        self._lists(load_next(self.folders, now=now).with_roots(roots), lists)
        self._note(Phase.SIGNING, keep=_certificates(self.rotation.keep), roots=roots, crls=lists)
        self.folders.adopt_next(roots)
        self.folders.drop_next()
        self._own_change(self.folders.load(now=now))

    def _retire(self) -> None:
        keep = _certificates(self.rotation.keep)
        self._lists(self.authority.with_roots(keep), ())
        self.folders.replace_roots(keep)
        self._note(Phase.SETTLED)
        self._own_change(self.folders.load(now=self._clock.now()))

    def drop_root(self, files: dict[str, str] | None) -> None:
        """In one step: another authority, and nothing that the old one ever signed is believed any more."""
        now = self._clock.now()
        following = self.folders.prepare_next(files, now=now)
        if anchor(root_of(following)) == anchor(root_of(self.authority)):
            self.folders.drop_next()
            raise TransitionError.of(Code.ROTATION_STATE, "the new authority has the very root that is to be dropped")
        self.folders.set_crl_aside()
        self._note(Phase.SIGNING, keep=following.roots, roots=following.roots)
        self.folders.adopt_next(following.roots)
        self._note(Phase.SETTLED)
        self.folders.drop_next()
        self._own_change(self.folders.load(now=now))
        logger.warning("the root was dropped: certificates of before are refused from now on")

    def renew(self) -> None:
        """Give our own root a new life, with its name and key, so that nobody notices; raises `IssueError`."""
        now = self._clock.now()
        renew_files(self.folders, self.authority, now=now)
        self._own_change(self.folders.load(now=now))
        logger.warning("the root was renewed, good until %d", self.authority.not_after)

    def replace(self, files: dict[str, str]) -> None:
        """Take the operator's renewed files over, if that hurts nobody; raises `CAFileError`, `TransitionError`."""
        now = self._clock.now()
        following = self.folders.prepare_next(files, now=now)
        try:
            check_change(self.authority, following, self.trust, self.ledger, now=now)
            self._lists(following, self.rotation.crls)
            self.folders.adopt_next(following.roots)
        finally:
            self.folders.drop_next()
        self._own_change(self.folders.load(now=now))

    def _note(
        self,
        phase: Phase,
        *,
        keep: tuple[x509.Certificate, ...] = (),
        roots: tuple[x509.Certificate, ...] = (),
        crls: tuple[str, ...] = (),
    ) -> None:
        self.rotation = Rotation(
            phase, tuple(map(encode_certificate, keep)), tuple(map(encode_certificate, roots)), crls
        )
        self.folders.note_rotation(self.rotation)

    def _list_of(self, authority: Authority) -> tuple[str, ...]:
        """The list of an authority that does not sign, if lists are in use at all."""
        if not self.trust.crls:
            return ()
        made = authority.empty_crl(now=self._clock.now(), number=1)
        return (made.public_bytes(serialization.Encoding.PEM).decode(),)

    # -- trust domains ----------------------------------------------------------------------------------------------

    def import_bundle(self, trust_domain: str, data: bytes) -> TrustBundle:
        """Believe another trust domain; raises `BundleError`, `CAFileError`, `SpiffeIDError`."""
        if self.trust.crls:
            message = "revocation lists are in use, and cannot be had together with federated trust domains"
            raise CAFileError.of(Code.CRL_FEDERATION, message, hint="remove ca-crl.pem first")
        bundle = self.folders.import_bundle(trust_domain, data)
        self._own_change(self.authority)
        return bundle

    def remove_bundle(self, trust_domain: str) -> bool:
        """Believe it no longer; False if it was not believed."""
        removed = self.folders.remove_bundle(trust_domain)
        if removed:
            self._own_change(self.authority)
        return removed

    # -- explaining itself ------------------------------------------------------------------------------------------

    def findings(self) -> list[Finding]:
        """What is wrong: expiry (an error once it has happened), refused files, lists that end, clocks that differ."""
        now = self._clock.now()
        found = expiry_findings(self._named(), now=now)
        if self.alarm is not None:
            found += [
                Finding(
                    Code.RELOAD_FAILED,
                    Level.ERROR,
                    f"the authority's changed files are not taken, the old one stays: {one.message}",
                    origin=one.origin,
                    hint=one.hint,
                )
                for one in self.alarm.findings
            ]
        if self.crls_end <= now + CRL_WARN_S:
            level = Level.WARNING if self.crls_end > now else Level.ERROR
            message = f"a revocation list is of use for {max(self.crls_end - now, 0):.0f} s only"
            hint = "proxies refuse every connection with an old list: replace ca-crl.pem"
            found.append(Finding(Code.CRL_FILE, level, message, hint=hint))
        for caller, (count, last) in sorted(self._suspects.items()):
            if last > now - SUSPECT_S:
                message = (
                    f"{caller} asked {count} times for a certificate of somebody else, last {now - last:.0f} s ago"
                )
                hint = "every time it was refused; what runs as it is not what it should be"
                found.append(Finding(Code.IMPERSONATION, Level.ERROR, message, hint=hint))
        for holder in self.ledger.skewed():
            message = f"the clock of {holder.name} differs by {holder.skew_s:+.0f} s from Citadel's"
            found.append(Finding(Code.CLOCK_SKEW, Level.WARNING, message, hint="set the clock (NTP)"))
        return found

    def _named(self) -> list[tuple[str, x509.Certificate]]:
        return named_certificates(self.authority)

    def dump(self) -> dict[str, Any]:
        """Plain data: roots, who signs, leaves under each signer, where a rotation stands and who lags behind."""
        return {
            **dump_authority(self.authority),
            "folder": str(self.folders.active),
            "phase": self.rotation.phase.value,
            "sequence": self.trust.sequence,
            "crls": len(self.trust.crls),
            "crls_end": self.crls_end if self.trust.crls else None,
            "federated": [{"trust_domain": one.trust_domain, "roots": len(one.roots)} for one in self.trust.federated],
            "leaves": dict(self.ledger.leaves_by_signer()),
            "holders": [
                {
                    "name": holder.name,
                    "signer": holder.signer,
                    "not_after": holder.not_after,
                    "trusts_all": holder.bundle == self.trust.bundle,
                    "turned": holder.signer == self.trust.signer,
                    "skew_s": round(holder.skew_s, 1),
                }
                for holder in self.ledger.holders()
            ],
            "laggards": list(self.laggards()),
            "away": sorted(self.ledger.away),
            "findings": [finding.dump() for finding in self.findings()],
        }

    def metrics(self) -> list[tuple[str, str, str, float]]:
        """(name, kind, help, value) rows for `/metrics`."""
        root = root_of(self.authority)
        return [
            (
                "citadel_server_root_cert_expiry_timestamp",
                "gauge",
                "When the root ends, in seconds since the epoch.",
                float(seconds(root.not_valid_after_utc)),
            ),
            (
                "citadel_server_cert_chain_expiry_timestamp",
                "gauge",
                "When the signing certificate ends, in seconds since the epoch.",
                float(self.authority.not_after),
            ),
            ("argosy_ca_roots", "gauge", "Roots that are believed.", float(len(self.authority.roots))),
            (
                "argosy_ca_laggards",
                "gauge",
                "Holders of certificates that do not have yet what is in force.",
                float(len(self.laggards())),
            ),
            ("argosy_ca_alarm", "gauge", "1 while changed files are not taken.", float(self.alarm is not None)),
        ]


_WAITED = {
    Phase.ADDING: "not everybody believes the new root yet",
    Phase.SIGNING: "not every certificate has turned yet",
}


def load_next(folders: CAFolders, *, now: float) -> Authority:
    """The authority whose turn comes next; raises `CAFileError`."""
    return load_ca(folders.next, folders.trust_domain, now=now)


def renew_files(folders: CAFolders, authority: Authority, *, now: float) -> None:
    """Replace our own root by one with the same name and key that lives from now on; raises `IssueError`."""
    root = authority.renewed_root(now=now, serial=x509.random_serial_number())
    others = [one for one in authority.roots if anchor(one) != anchor(root)]
    text = encode_certificate(root).encode()
    roots = "".join(map(encode_certificate, (root, *others))).encode()
    # Roots first: with the old certificate beside the new root the files still fit, whenever this is cut.
    folders.replace({ROOT_FILE: roots, CHAIN_FILE: text, CERTIFICATE_FILE: text})


def _certificates(texts: tuple[str, ...]) -> tuple[x509.Certificate, ...]:
    return tuple(x509.load_pem_x509_certificate(text.encode()) for text in texts)


def _union(some: tuple[x509.Certificate, ...], others: tuple[x509.Certificate, ...]) -> tuple[x509.Certificate, ...]:
    return (*some, *(one for one in others if one not in some))
