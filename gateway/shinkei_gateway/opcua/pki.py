"""The gateway's certificates on disk: its own, those it trusts, issuers, lists of revoked ones, and those it has refused.

::

    pki/own/identity.pem      our key and certificate (0600); previous.pem: the one before, while servers may not know the new one
    pki/own/certificate.der   our certificate for servers' administrators
    pki/trusted/              applications and issuers that are trusted       pki/issuers/   only to complete chains
    pki/crl/                  lists of revoked certificates of issuers        pki/rejected/  what servers showed and nobody trusts
    pki/known.json            which certificate each address has shown

A person may put files (DER or PEM) into these folders while the gateway runs. Several processes may use one folder: what is changed is
changed under a lock, whole files at a time. Checks nothing (`validation`). Used by `security` and by ``shinkei gateway trust``.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import socket
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec
from cryptography import x509

from shinkei_events.runfile import write_atomic
from shinkei_events.settings import PlantFile
from shinkei_gateway.opcua.certificate import Identity, common_name, encoded, make_identity, read_identity, thumbprint
from shinkei_gateway.opcua.refusal import CertificateInvalid
from shinkei_gateway.opcua.validation import TrustLists

FOLDERS = ("own", "trusted", "issuers", "rejected", "crl")
REJECTED_MOST = 100
"""An address that shows a new certificate at each connection must not fill the disk."""
_SUFFIXES = {".der", ".crt", ".cer", ".pem", ".crl"}


class Known(msgspec.Struct, frozen=True):
    """What an address showed last. ``by``: ``trust``, a person said yes to it for this address; ``seen``: it was trusted already."""

    thumbprint: str
    by: Literal["trust", "seen"]


class Pki:
    """``folder`` is made when it is needed. ``uri``, ``name``, ``organization``: of our own certificate, when it has to be made."""

    def __init__(self, folder: Path, uri: str, name: str, organization: str) -> None:
        self.folder, self._uri, self._name, self._organization = folder, uri, name, organization
        self._own: tuple[int, Identity] | None = None

    # ---- our own ---------------------------------------------------------------------------------------------------------
    @property
    def own_file(self) -> Path:
        """Our certificate, to be handed to servers' administrators."""
        return self.folder / "own" / "certificate.der"

    def own(self, now: datetime) -> Identity:
        """Our key and certificate, made when there are none; read again when the file has changed.

        Raises `CertificateInvalid` when a person has put something else there.
        """
        path = self.folder / "own" / "identity.pem"
        if not path.exists():
            with self._locked():
                if not path.exists():
                    self._write_own(self._made(now))
        stamp = path.stat().st_mtime_ns
        if self._own is None or self._own[0] != stamp:
            self._own = (stamp, _read(path))
        return self._own[1]

    def has_own(self) -> bool:
        """Whether it was made already."""
        return (self.folder / "own" / "identity.pem").exists()

    def renew(self, now: datetime, of: x509.Certificate | None = None) -> Identity:
        """A new key and certificate; the old ones stay for servers that do not know the new one yet.

        With ``of`` only while that is our certificate: two processes do not renew it twice.
        """
        self.own(now)
        with self._locked():
            before = _read(self.folder / "own" / "identity.pem")
            if of is not None and before.certificate != of:
                return before
            made = make_identity(before.uri or self._uri, self._name, self._organization, own_hosts(), now)
            write_atomic(self.folder / "own" / "previous.pem", before.pem())
            self._write_own(made)
        return self.own(now)

    def previous(self, now: datetime) -> Identity | None:
        """The one before the last renewal, while it is valid."""
        path = self.folder / "own" / "previous.pem"
        found = _read(path) if path.exists() else None
        return found if found is not None and found.certificate.not_valid_after_utc > now else None

    def _made(self, now: datetime) -> Identity:
        return make_identity(self._uri, self._name, self._organization, own_hosts(), now)

    def _write_own(self, identity: Identity) -> None:
        write_atomic(self.own_file, encoded(identity.certificate), 0o644)
        write_atomic(self.folder / "own" / "identity.pem", identity.pem())

    # ---- others' ---------------------------------------------------------------------------------------------------------
    def lists(self) -> tuple[TrustLists, list[str]]:
        """What is in the folders, and the files that cannot be read."""
        unread: list[str] = []
        trusted, issuers = (self._certificates(name, unread) for name in ("trusted", "issuers"))
        crls = []
        for path in self._files("crl"):
            with _noting(unread, path):
                crls.append(_crl(path.read_bytes()))
        return TrustLists(trusted, issuers, crls), unread

    def _certificates(self, name: str, unread: list[str]) -> list[x509.Certificate]:
        found: list[x509.Certificate] = []
        for path in self._files(name):
            with _noting(unread, path):
                found += certificates(path.read_bytes())
        return found

    def _files(self, name: str) -> list[Path]:
        with contextlib.suppress(FileNotFoundError):
            return sorted(path for path in (self.folder / name).iterdir() if path.suffix.lower() in _SUFFIXES)
        return []

    def reject(self, certificate: x509.Certificate) -> Path:
        """Keep it in rejected/ for a person to look at; the newest `REJECTED_MOST` stay."""
        path = self.folder / "rejected" / _file_name(certificate)
        with self._locked():
            if not path.exists():
                write_atomic(path, encoded(certificate), 0o644)
            by_age = sorted(self._files("rejected"), key=lambda one: one.stat().st_mtime_ns)
            for old in by_age[:-REJECTED_MOST]:
                old.unlink(missing_ok=True)
        return path

    def rejected(self, wanted: str) -> x509.Certificate | None:
        """The refused certificate with this SHA-1 thumbprint."""
        return next((one for one in self._certificates("rejected", []) if thumbprint(one) == wanted), None)

    def trust(self, certificate: x509.Certificate, address: str | None = None) -> Path:
        """Move it into trusted/; with ``address`` (``host:port``) it is that address's own, whatever its names are."""
        path = self.folder / "trusted" / _file_name(certificate)
        with self._locked():
            write_atomic(path, encoded(certificate), 0o644)
            (self.folder / "rejected" / path.name).unlink(missing_ok=True)
            if address is not None:
                self._remember(address, Known(thumbprint(certificate), "trust"))
        return path

    def known(self) -> dict[str, Known]:
        """What each address showed last."""
        with contextlib.suppress(FileNotFoundError, msgspec.MsgspecError):
            return msgspec.json.decode((self.folder / "known.json").read_bytes(), type=dict[str, Known])
        return {}

    def saw(self, address: str, certificate: x509.Certificate) -> None:
        """``address`` showed this one, and it is trusted."""
        shown = thumbprint(certificate)
        if (before := self.known().get(address)) is None or before.thumbprint != shown:
            with self._locked():
                self._remember(address, Known(shown, "seen"))

    def _remember(self, address: str, known: Known) -> None:
        write_atomic(self.folder / "known.json", msgspec.json.encode(self.known() | {address: known}, order="sorted"))

    def stamp(self) -> tuple[int, ...]:
        """Another value when a person (or another process) has changed what is trusted, or our own certificate."""
        return tuple(changed(self.folder / name) for name in ("own", "trusted", "issuers", "crl"))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """The folders are there, and no other process changes them."""
        for name in FOLDERS:
            (self.folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


def pki_of(plant: PlantFile) -> Pki:
    """The certificates of the site's gateway in its folder; its application URI stays what its certificate says."""
    site, gateway = plant.site.id, str(plant.gateway.get("id", ""))
    return Pki(plant.dir / "pki", f"urn:shinkei:{site}:{gateway}", f"Shinkei gateway {gateway}", site)


def own_hosts() -> list[str]:
    """This machine's names and the address it would speak from; for the certificate's alternative names."""
    found = [socket.gethostname(), socket.getfqdn()]
    with contextlib.suppress(OSError):
        found += [str(entry[4][0]) for entry in socket.getaddrinfo(socket.gethostname(), None, type=socket.SOCK_STREAM)]
    plain = (name.partition("%")[0] for name in found)
    return list(dict.fromkeys(name for name in plain if name and re.fullmatch(r"[A-Za-z0-9.:_-]+", name)))


@contextlib.contextmanager
def _noting(unread: list[str], path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        unread.append(f"{path}: {error}")


def _read(path: Path) -> Identity:
    try:
        return read_identity(path.read_bytes())
    except (CertificateInvalid, OSError) as error:
        raise CertificateInvalid(
            f"{path}: {error}; put the key and its certificate there in PEM, or remove the file"
        ) from error


def certificates(content: bytes) -> list[x509.Certificate]:
    """Of a file, PEM or DER, in its order. Raises ValueError."""
    if b"-----BEGIN" in content:
        return x509.load_pem_x509_certificates(content)
    return [x509.load_der_x509_certificate(content)]


def _crl(content: bytes) -> x509.CertificateRevocationList:
    return x509.load_pem_x509_crl(content) if b"-----BEGIN" in content else x509.load_der_x509_crl(content)


def _file_name(certificate: x509.Certificate) -> str:
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", common_name(certificate))[:40].strip("._") or "unnamed"
    return f"{name}-{thumbprint(certificate)[:16]}.der"


def changed(path: Path) -> int:
    """When a file or folder was changed last, ns; 0 when it is not there."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
