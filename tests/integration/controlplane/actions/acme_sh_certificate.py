"""Stand-in for the signing module: asks the API for credentials, signs on paper, once an attempt."""

import json
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key


class ActionModule(ActionBase):  # type: ignore[misc] # Ansible has no types
    """Signs one CSR."""

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        """Return what the contract says."""
        result = super().run(tmp, task_vars)
        world = Path(task_vars["world"])
        arguments = self._task.args
        behaviour = _read(world / "behaviour.json").get(arguments["name"], "")
        if behaviour == "unreachable":
            raise AnsibleConnectionFailure("no route to the issuer")
        if behaviour.startswith("sleep"):
            time.sleep(float(behaviour.removeprefix("sleep")))
        if behaviour.startswith("fail:"):
            failure = json.loads(behaviour.removeprefix("fail:"))
            return {**result, "failed": True, "msg": "no", "failure": failure}
        credentials = _credentials(arguments["job"], arguments["name"])
        assert credentials["account"]["private_key"].startswith("-----BEGIN")
        certificate = world / f"issued-{arguments['attempt']}.pem"
        if not certificate.exists():
            _order(world, arguments, certificate)
        return {
            **result,
            "changed": True,
            "attempt": arguments["attempt"],
            "account": {"url": "https://ca.invalid/account/1", "thumbprint": "t"},
            "certificate": {"pem": certificate.read_text(), "chain_pem": ""},
            "seconds": 0.5,
        }


def _order(world: Any, arguments: Any, path: Any) -> Any:
    with (world / "orders").open("a") as orders:
        orders.write(arguments["attempt"] + "\n")
    key: Any = load_pem_private_key((world / "ca.pem").read_bytes(), None)
    csr = x509.load_pem_x509_csr(str(arguments["csr"]).encode())
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Paper CA")]))
        .public_key(csr.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(seconds=1))
        .not_valid_after(now + timedelta(seconds=float((world / "life").read_text())))
        .add_extension(
            csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value,
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    draft = path.with_suffix(".draft")
    draft.write_bytes(signed.public_bytes(Encoding.PEM))
    draft.rename(path)


def _credentials(job: Any, name: Any) -> Any:
    request = urllib.request.Request(f"{job['api_url']}/api/v1/jobs/{job['id']}/credentials/{name}")  # noqa: S310 -- our own API
    request.add_header("Authorization", f"Bearer {Path(job['token_file']).read_text()}")
    with urllib.request.urlopen(request) as answer:  # noqa: S310 -- our own API
        return json.load(answer)


def _read(path: Any) -> Any:
    return json.loads(path.read_text()) if path.exists() else {}
