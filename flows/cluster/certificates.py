"""TLS certificates: one authority, and one certificate, shown by all processes that talk to each other.

`python -m flows.cluster.certificates FOLDER` writes `ca.pem`, `node.pem` and `node.key` there. Who holds a certificate
of this authority may talk to its Dask scheduler and workers, or to the parts of its SeaweedFS, and nobody else. Each of
the two has an authority of its own.
"""

import datetime as dt
import ipaddress
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from flows.cluster.private_files import write_private

VALID_DAYS = 825
FILES = ("ca.pem", "node.pem", "node.key")
# Dask does not compare a server's name with its certificate; SeaweedFS does, and finds its own parts on loopback.
HOSTS = ("localhost", "dask-scheduler")


def write_certificates(folder: Path) -> None:
    """Make an authority and a certificate, unless the folder holds them; the authority's key is not kept."""
    if all((folder / name).exists() for name in FILES):
        return
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority_key, node_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = _sign("SoMo authority", authority_key, "SoMo authority", authority_key, is_authority=True)
    node = _sign("somo", node_key, "SoMo authority", authority_key, is_authority=False)
    pem = serialization.Encoding.PEM
    secret = node_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    contents = {"ca.pem": authority.public_bytes(pem), "node.pem": node.public_bytes(pem), "node.key": secret}
    for name, data in contents.items():
        write_private(folder / name, data)


def _sign(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    is_authority: bool,
) -> x509.Certificate:
    issued = dt.datetime.now(dt.UTC)
    loopback = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    names = x509.SubjectAlternativeName([*(x509.DNSName(host) for host in HOSTS), loopback])
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # The clock of another node may be behind this one's.
        .not_valid_before(issued - dt.timedelta(hours=1))
        .not_valid_after(issued + dt.timedelta(days=VALID_DAYS))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=0 if is_authority else None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if not is_authority:
        builder = builder.add_extension(names, critical=False).add_extension(usage, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


if __name__ == "__main__":
    write_certificates(Path(sys.argv[1]))
