"""TLS with a real certificate: answered over it, renewed without a restart, and clear words where it cannot be used."""

import http.client
import json
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tritonclient.grpc import service_pb2, service_pb2_grpc

from petla.core.errors import InvalidError
from petla.core.project import ServingTable
from petla.deployments.access import granting as access
from petla.deployments.access.keys import Scope
from petla.deployments.deploy import deploy
from petla.serving.doors.protocol import Limits
from petla.storage.certificates import open_certificate
from petla.storage.workspace import Workspace
from tests.api.client import make_project, run_server
from tests.deployments.tiny import MODEL, PROJECT, ROW, add_version, open_shop
from tests.serving.client import find_port, running, wait_until

TLS = 'certificate = "tls/cert.pem"\ncertificate_key = "tls/key.pem"\n'
CONNECTIONS = 6
LIMITS = Limits(connections=CONNECTIONS, client_timeout_s=3.0)
TABLE = ServingTable(certificate="tls/cert.pem", certificate_key="tls/key.pem")


def make_certificate(root: Path) -> int:
    """Write a self-signed certificate for localhost; return its serial number."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (root / "tls").mkdir(exist_ok=True)
    (root / "tls" / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    (root / "tls" / "cert.pem").write_bytes(certificate.public_bytes(pem))
    return certificate.serial_number


@pytest.fixture
def shop(tmp_path: Path) -> Workspace:
    make_certificate(tmp_path)
    ws = open_shop(tmp_path, PROJECT + TLS)
    deploy(ws, MODEL, add_version(ws), actor="ada")
    return ws


def serial_at(port: int) -> int:
    pem = ssl.get_server_certificate(("127.0.0.1", port))
    return x509.load_pem_x509_certificate(pem.encode()).serial_number


def test_grpc_is_encrypted_and_asks_for_a_key_as_well(tmp_path: Path) -> None:
    make_certificate(tmp_path)
    ws = open_shop(tmp_path, PROJECT + TLS + f'access = "keys"\ngrpc_port = {find_port()}\n')
    deploy(ws, MODEL, add_version(ws), actor="ada")
    may_read = access.add(ws, "reader", [Scope.READ])
    trusted = grpc.ssl_channel_credentials((tmp_path / "tls" / "cert.pem").read_bytes())
    with running(ws), grpc.secure_channel(f"localhost:{ws.project.serving.grpc_port}", trusted) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        asked, rows = service_pb2.ModelMetadataRequest(name=MODEL), service_pb2.ModelInferRequest()
        assert stub.ServerLive(service_pb2.ServerLiveRequest(), timeout=30).live
        refused = {}
        for secret, method, request in (("", stub.ModelMetadata, asked), (may_read, stub.ModelInfer, rows)):
            with pytest.raises(grpc.RpcError) as caught:
                method(request, metadata=[("authorization", f"Bearer {secret}")], timeout=30)
            refused[secret] = caught.value.code()
        found = stub.ModelMetadata(asked, metadata=[("authorization", f"Bearer {may_read}")], timeout=30)

    assert refused == {"": grpc.StatusCode.UNAUTHENTICATED, may_read: grpc.StatusCode.PERMISSION_DENIED}
    assert found.name == MODEL


def test_answers_over_tls_and_takes_up_a_renewed_certificate(shop: Workspace) -> None:
    trusting = ssl.create_default_context(cafile=str(shop.root / "tls" / "cert.pem"))
    with running(shop) as supervisor:
        port, url = supervisor.server.port, supervisor.server.url
        connection = http.client.HTTPSConnection("localhost", port, timeout=30, context=trusting)
        statuses = []
        for _ in range(3):
            connection.request("POST", f"/predict/{MODEL}", json.dumps([ROW] * 2_000))
            response = connection.getresponse()
            statuses.append((response.status, len(json.load(response))))
        connection.close()
        renewed = make_certificate(shop.root)
        wait_until(lambda: serial_at(port) == renewed, "the renewed certificate was shown")
        with socket.create_connection(("127.0.0.1", port), timeout=30) as plain:
            plain.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
            unencrypted = plain.recv(1024)

    assert url == f"https://127.0.0.1:{port}"
    assert not unencrypted.startswith(b"HTTP")
    assert statuses == [(200, 2_000)] * 3


def test_half_of_a_renewal_changes_nothing(tmp_path: Path) -> None:
    make_certificate(tmp_path)
    certificate = open_certificate(tmp_path, TABLE)
    assert certificate is not None
    context = certificate.context
    (tmp_path / "tls" / "cert.pem").write_bytes(b"half a certif")

    certificate.look()

    assert certificate.context is context


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "key.pem cannot be read: No such file"),
        (b"", "no certificate with its private key"),
        (b"x", "must be PEM"),
    ],
)
def test_file_that_cannot_be_used_is_named(tmp_path: Path, content: bytes | None, message: str) -> None:
    make_certificate(tmp_path)
    path = tmp_path / "tls" / "key.pem"
    path.unlink() if content is None else path.write_bytes(content)

    with pytest.raises(InvalidError) as refused:
        open_certificate(tmp_path, TABLE)

    assert message in str(refused.value)
    assert refused.value.field.startswith("serving.certificate")


def test_certificate_without_its_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match="certificate_key is missing"):
        open_certificate(tmp_path, ServingTable(certificate="tls/cert.pem"))


def test_no_certificate_is_no_fault(tmp_path: Path) -> None:
    assert open_certificate(tmp_path, ServingTable()) is None


def ask_healthz(port: int, root: Path) -> int:
    trusting = ssl.create_default_context(cafile=str(root / "tls" / "cert.pem"))
    trusting.check_hostname = False
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=30, context=trusting)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status
    finally:
        connection.close()


def see_silent_clients_end(port: int, root: Path) -> None:
    """Open twice as many connections as may be, on which no handshake begins; see that they count and then end."""
    silent = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(2 * CONNECTIONS)]
    with socket.create_connection(("127.0.0.1", port), timeout=30) as more:
        assert more.recv(1) == b""
    # half a handshake is none
    silent[0].sendall(b"\x16\x03\x01\x02\x00\x01")
    for connection in silent[:CONNECTIONS]:
        connection.close()
    wait_until(lambda: ask_after_surplus(port, root) == 503, "those that are left count")
    for connection in silent[CONNECTIONS:]:
        assert connection.recv(1) == b""
        connection.close()
    wait_until(lambda: ask_after_surplus(port, root) == 200, "they were cut off")


def ask_after_surplus(port: int, root: Path) -> int:
    try:
        return ask_healthz(port, root)
    except OSError:
        return 0


def test_clients_that_shake_no_hands_count_as_connections(tmp_path: Path) -> None:
    make_certificate(tmp_path)
    ws = open_shop(tmp_path, f"{PROJECT}{TLS}connections = {CONNECTIONS}\nclient_timeout_s = 3.0\n")
    deploy(ws, MODEL, add_version(ws), actor="ada")
    with running(ws) as supervisor:
        see_silent_clients_end(supervisor.server.port, tmp_path)

    assert supervisor.statuses == [0]


def test_clients_that_shake_no_hands_count_on_the_control_plane(tmp_path: Path) -> None:
    make_certificate(tmp_path)
    with run_server(make_project(tmp_path), LIMITS, open_certificate(tmp_path, TABLE)) as port:
        see_silent_clients_end(port, tmp_path)


@pytest.mark.parametrize("begun", [b"", b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 70_000])
def test_handshakes_that_fail_leave_nothing_behind(tmp_path: Path, begun: bytes) -> None:
    make_certificate(tmp_path)
    ws = open_shop(tmp_path, f"{PROJECT}{TLS}connections = {CONNECTIONS}\n")
    deploy(ws, MODEL, add_version(ws), actor="ada")
    with running(ws) as supervisor:
        port = supervisor.server.port
        for _ in range(5 * CONNECTIONS):
            with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
                client.sendall(begun)
        wait_until(lambda: ask_after_surplus(port, tmp_path) == 200, "it had noticed")
