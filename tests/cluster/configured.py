"""The configuration of docs/servers.md, with the addresses of a test."""

import re
from collections.abc import Sequence
from configparser import ConfigParser
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "servers.md"


def balancer(port: int, servers: Sequence[int], statistics: Path) -> str:
    """``haproxy.cfg`` for servers on these ports, with a socket that answers what it knows of them."""
    text = _block("haproxy")
    places = dict.fromkeys(re.findall(r"10\.\d+\.\d+\.\d+:5000", text))
    for place, server in zip(places, servers, strict=True):
        text = text.replace(place, f"127.0.0.1:{server}")
    assert "bind :5000" in text
    return f"global\n    stats socket {statistics}\n" + text.replace("bind :5000", f"bind 127.0.0.1:{port}")


def pooler(port: int, databases: dict[str, str], **settings: object) -> str:
    """``pgbouncer.ini`` that sends databases to these addresses, without passwords."""
    page = ConfigParser()
    page.read_string(_block("ini", "[pgbouncer]"))
    own = dict(page["pgbouncer"])
    del own["auth_file"]
    own |= {"listen_addr": "127.0.0.1", "listen_port": str(port), "auth_type": "any", "unix_socket_dir": ""}
    own |= {key: str(value) for key, value in settings.items()}
    lines = ["[databases]", *(f"{name} = {target}" for name, target in databases.items())]
    return "\n".join([*lines, "[pgbouncer]", *(f"{key} = {value}" for key, value in own.items()), ""])


def postgres() -> dict[str, str]:
    """The settings of PostgreSQL."""
    page = ConfigParser()
    page.read_string("[postgres]\n" + _block("ini", "synchronous_commit"))
    return {key: value.strip("'") for key, value in page["postgres"].items()}


def _block(language: str, having: str = "") -> str:
    [found] = [block for block in re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL) if having in block]
    return found
