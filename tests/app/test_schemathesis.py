"""The service does what its OpenAPI document says, and refuses what it forbids: Schemathesis asks
it whatever the document makes possible, through nginx and uWSGI as shipped. Ten minutes of it:

    SCHEMATHESIS_EXAMPLES=1500 make test ARGS=tests/app/test_schemathesis.py
"""

import os
import subprocess
import sys
from pathlib import Path

from .conftest import StartNginx, StartUwsgi

ROOT = Path(__file__).parents[2]
KEY = "a-key-of-16-letters"


def test_the_service_is_as_described(
    start_uwsgi: StartUwsgi, start_nginx: StartNginx, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    unix_socket = tmp_path / "uwsgi.sock"
    keys = tmp_path / "keys"
    keys.write_text(f"tester {KEY}\n")
    start_uwsgi(
        tiny_checkpoint,
        unix_socket,
        MAX_LENGTH="20",
        MAX_SAMPLES="2",
        MAX_PREFIX="200",
        API_KEYS=str(keys),
        REQUIRE_KEY="true",
        ADMIN_KEY=KEY,
    )
    url = start_nginx(unix_socket, "set_real_ip_from 127.0.0.1;\n")
    command = [
        Path(sys.executable).with_name("st"),
        *("--config-file", "tests/app/schemathesis.toml", "run", f"{url}/openapi.json"),
        *("--max-examples", os.environ.get("SCHEMATHESIS_EXAMPLES", "25")),
        *("--generation-database", "none", "--no-color"),
        *(["--seed", "1"] if "CI" in os.environ else []),
    ]
    environment = {**os.environ, "API_KEY": KEY}
    run = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    for phase in ("Examples", "Coverage", "Fuzzing", "Stateful"):
        assert f"✅ {phase}" in run.stdout
