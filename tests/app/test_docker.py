"""The containers' recipes, where they cannot be built: that they agree with what they run."""

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
NGINX = "\n".join(file.read_text() for file in (ROOT / "nginx").glob("*.conf"))


def test_hadolint_finds_nothing() -> None:
    beside = Path(sys.executable).with_name("hadolint")
    hadolint = str(beside) if beside.exists() else shutil.which("hadolint")
    if not hadolint:
        pytest.skip("needs hadolint")
    subprocess.run([hadolint, ROOT / "Dockerfile"], check=True)


def test_images_are_pinned() -> None:
    images = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    images += [service["image"] for service in COMPOSE["services"].values() if "image" in service]
    assert len(images) == 5
    for image in images:
        assert re.search(r":v?\d+\.\d+\.\d+(-|$)", image)


def test_what_the_image_needs_is_not_ignored() -> None:
    kept = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert {"app", "corpus", "engine", "training", "uwsgi.ini", "requirements.txt"} <= set(kept)
    assert all((ROOT / name).exists() for name in kept)


def test_nginx_finds_what_it_reads_and_is_published_where_it_listens() -> None:
    for name in ("nginx", "public"):
        service = COMPOSE["services"][name]
        mounted = {volume.split(":")[1] for volume in service["volumes"]}
        for path in ("/srv/static", "/srv/acme", "/etc/letsencrypt", "/run/app"):
            assert path in NGINX
            assert path in mounted
        assert f"{service['entrypoint'][2]}" == "/srv/nginx/nginx.conf"
        assert "./nginx:/srv/nginx:ro" in service["volumes"]
        for port in service["ports"]:
            assert re.search(rf"listen {port.rpartition(':')[2]}\b", NGINX)
    assert COMPOSE["services"]["nginx"]["ports"] == ["${PORT:-127.0.0.1:8080}:8080"]


def test_named_volumes_are_declared() -> None:
    for service in COMPOSE["services"].values():
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert source in COMPOSE["volumes"] or (ROOT / source).is_dir()


def test_docker_waits_until_the_stories_are_finished() -> None:
    mercy = re.search(r"^worker-reload-mercy = (\d+)$", (ROOT / "uwsgi.ini").read_text(), re.M)
    assert mercy
    for name in ("app", "nginx", "public"):
        assert int(COMPOSE["services"][name]["stop_grace_period"].removesuffix("s")) > int(mercy[1])


def test_certbots_loop_leaves_a_certificate_that_nginx_can_read(tmp_path: Path) -> None:
    (loop,) = COMPOSE["services"]["certbot"]["command"]
    site = tmp_path / "letsencrypt" / "live" / "site"
    (tmp_path / "certbot").write_text(
        f"""#!/bin/sh
        printf '%s\\n' "$@" > {tmp_path}/arguments
        umask 077
        mkdir -p {tmp_path}/letsencrypt/archive {site}
        echo secret > {site}/privkey.pem
        """
    )
    (tmp_path / "sleep").write_text("#!/bin/sh\nkill -TERM $PPID\n")
    for program in ("certbot", "sleep"):
        (tmp_path / program).chmod(0o755)
    finished = subprocess.run(
        ["sh", "-c", loop.replace("$$", "$").replace("/etc/letsencrypt", f"{site.parents[1]}")],
        env={
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "DOMAIN": "stories.example.org",
            "EMAIL": "me@example.org",
        },
        timeout=60,
        check=False,
    )
    assert finished.returncode in (0, 128 + 15)
    arguments = (tmp_path / "arguments").read_text().splitlines()
    for option, value in {
        "--domain": "stories.example.org",
        "--email": "me@example.org",
        "--cert-name": site.name,
        "--webroot-path": "/srv/acme",
    }.items():
        assert arguments[arguments.index(option) + 1] == value
    assert (site / "privkey.pem").stat().st_mode & 0o777 == 0o640
    assert stat.filemode(site.stat().st_mode) == "drwxr-x---"
