"""Artifacts through the proxy, ferroflow beside the reference: to a directory, and to two S3 servers on this machine.

    cargo xtask bench --artifacts                    everything
    cargo xtask bench --artifacts -- --only upload --store local --rounds 1

Files go up and down as an SDK sends them. CPU time and memory are the server's, from /proc; the S3 servers (s3s-fs
without TLS, rclone with it) and the client take their share of the same cores, so seconds say less than CPU does.
"""

import argparse
import contextlib
import hashlib
import http.client
import json
import os
import socket
import ssl
import statistics
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "artifacts"), str(ROOT / "bench")]

from measurement import cpu_seconds, pss_mib, settled_pss  # noqa: E402
from side_by_side import machine, median  # noqa: E402
from support import certificates, servers, stores  # noqa: E402

API = "/api/2.0/mlflow-artifacts/artifacts"
PIECE = bytes(range(256)) * 4096
#: A directory, a store that speaks plain HTTP, and one that speaks TLS as buckets do.
STORES = ("local", "s3s", "rclone")
LARGE, SMALL, PARALLEL, FILES = 100, 10, 64, 10_000


def connect(server) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=600)


def put(server, path: str, mib: int) -> None:
    connection = connect(server)
    headers = {"Content-Length": str(mib * len(PIECE))}
    connection.request("PUT", f"{API}/{path}", body=(PIECE for _ in range(mib)), headers=headers)
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()


def get(server, path: str) -> int:
    connection = connect(server)
    connection.request("GET", f"{API}/{path}")
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    size = 0
    while chunk := answer.read(1 << 20):
        size += len(chunk)
    return size


def download(server) -> None:
    expect(get(server, "bench/large.bin"), LARGE * len(PIECE))


def downloads(server) -> None:
    with ThreadPoolExecutor(PARALLEL) as pool:
        sizes = list(pool.map(lambda _: get(server, "bench/small.bin"), range(PARALLEL)))
    assert sizes == [SMALL * len(PIECE)] * PARALLEL


def listing(server) -> None:
    connection = connect(server)
    connection.request("GET", f"{API}?path=many")
    assert len(json.load(connection.getresponse())["files"]) == FILES


MEASUREMENTS = {
    # name: (the work, GB that it moves)
    "upload_100_mb": (lambda server: put(server, "bench/large.bin", LARGE), LARGE / 1024),
    "download_100_mb": (download, LARGE / 1024),
    "download_64_x_10_mb": (downloads, PARALLEL * SMALL / 1024),
    "list_10000": (listing, None),
}


def measured(server, work, gigabytes) -> dict:
    """One run of the work: seconds, CPU, and how much more memory the server had than before."""
    idle = settled_pss(server.pid)
    peak, done = idle, threading.Event()

    def watch():
        nonlocal peak
        while not done.wait(0.02):
            peak = max(peak, pss_mib(server.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    before, start = cpu_seconds(server.pid), time.monotonic()
    work(server)
    figures = {"seconds": time.monotonic() - start, "cpu_s": cpu_seconds(server.pid) - before}
    done.set()
    watcher.join()
    figures["above_idle_mib"] = peak - idle
    if gigabytes:
        figures |= {"mb_per_second": gigabytes * 1024 / figures["seconds"], "cpu_s_per_gb": figures["cpu_s"] / gigabytes}
    return figures


def floor(name: str, store: str, folder: Path) -> float:
    """CPU seconds per GB of what nobody can do without who passes bytes on through memory: from a socket to a file and
    the disk, from a file to a socket, or from one socket to another; with the digest that signs what is sent to a store
    in the clear, and with the encryption where it is not."""
    piece = memoryview(bytearray(256 * 1024))
    file = folder / "copy.bin"
    upload = name.startswith("upload")
    if not upload and store == "local":
        file.write_bytes(PIECE * LARGE)
    spent = 0.0

    def move(take, give):
        nonlocal spent
        start = time.thread_time()
        while size := take(piece):
            give(piece[:size])
        spent = time.thread_time() - start

    with contextlib.ExitStack() as stack:
        if file.exists():
            take = stack.enter_context(file.open("rb", buffering=0)).readinto
        else:
            source, sender = sockets(stack, encrypted=store == "rclone" and not upload)
            threading.Thread(target=lambda: (sender.sendall(PIECE * LARGE), sender.close())).start()
            take = source.recv_into
        if upload and store == "local":
            target = stack.enter_context(file.open("wb", buffering=0))
            move(take, target.write)
            start = time.thread_time()
            os.fsync(target.fileno())
            spent += time.thread_time() - start
        else:
            sink, receiver = sockets(stack, encrypted=store == "rclone" and upload)
            reader = threading.Thread(target=drain, args=[receiver])
            reader.start()
            digest = hashlib.sha256()
            signed = store == "s3s" and upload
            move(take, (lambda data: (digest.update(data), sink.sendall(data))) if signed else sink.sendall)
            sink.close()
            reader.join()
    file.unlink(missing_ok=True)
    return spent * 1024 / LARGE


def sockets(stack, encrypted: bool) -> tuple[socket.socket, socket.socket]:
    """Both ends of a connection through this machine's network: a client's and a server's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = stack.enter_context(socket.create_connection(listener.getsockname()))
        server = stack.enter_context(listener.accept()[0])
    if not encrypted:
        return client, server
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    with tempfile.TemporaryDirectory() as folder:
        paths = certificates.issue("bench").write(Path(folder) / "crt", Path(folder) / "key")
        known = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        known.load_cert_chain(*paths)
    with ThreadPoolExecutor(1) as pool:
        accepted = pool.submit(known.wrap_socket, server, server_side=True)
        return stack.enter_context(trusting.wrap_socket(client)), stack.enter_context(accepted.result())


def drain(end: socket.socket) -> None:
    piece = bytearray(1 << 20)
    # Who hangs up does not always say so first.
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        while end.recv_into(piece):
            pass


@contextlib.contextmanager
def place(kind: str, folder: Path, files: int = FILES):
    """Where a server keeps its artifacts, and how it gets there; with the many files that are listed."""
    folder.mkdir()
    if kind == "local":
        many = folder / "artifacts" / "many"
        many.mkdir(parents=True)
        for number in range(files):
            (many / f"file-{number:05}").write_bytes(b"x")
        yield folder / "artifacts", {}
        return
    with stores.running(kind, folder) as store:
        store = store.with_bucket("bench")
        store.put_many([f"many/file-{number:05}" for number in range(files)])
        yield f"s3://{store.bucket}", store.env


def verdict(reached: bool) -> str:
    return "reached" if reached else "**not reached**"


def row(result: dict) -> str:
    name = f"{result['name']} ({result['store']})"
    say = lambda f: f"{f['mb_per_second']:.0f} MB/s, {f['cpu_s_per_gb']:.2f} s CPU per GB, +{f['above_idle_mib']:.0f} MiB"  # noqa: E731
    ours, theirs = result["ferroflow"], result.get("reference")
    if theirs is None:
        return f"| {name} | {say(ours)} | | | | < 64 MiB | {verdict(ours['above_idle_mib'] < 64)} |"
    cpu = theirs["cpu_s"] / max(ours["cpu_s"], 0.01)
    faster = theirs["seconds"] / ours["seconds"]
    if "mb_per_second" not in ours:
        return f"| {name} | {ours['seconds']:.2f} s, {ours['cpu_s']:.2f} s CPU | {theirs['seconds']:.2f} s, {theirs['cpu_s']:.2f} s CPU | {faster:.1f}×, CPU 1/{cpu:.0f} | | | |"
    reached = verdict(faster >= 2 and cpu >= 10 and ours["above_idle_mib"] < 64)
    least = result["floor_cpu_s_per_gb"]
    floor = f"{least:.2f} s CPU per GB, 1/{theirs['cpu_s_per_gb'] / least:.0f}"
    return f"| {name} | {say(ours)} | {say(theirs)} | {faster:.1f}×, CPU 1/{cpu:.0f} | {floor} | ≥ 2×, CPU ≤ 1/10, < 64 MiB | {reached} |"


def huge(kind: str, folder: Path, gib: int) -> list[dict]:
    """One file that is larger than memory should be, up and down through a server that has done nothing else."""
    size = gib * 1024
    works = {
        "upload": lambda server: put(server, "bench/huge.bin", size),
        "download": lambda server: expect(get(server, "bench/huge.bin"), size * len(PIECE)),
    }
    found = []
    with place(kind, folder, files=0) as (artifacts, env):
        for name, work in works.items():
            with servers.ferroflow(f"sqlite:///{folder}/{name}.db", artifacts, env=env) as server:
                found.append({"store": kind, "name": f"{name}_{gib}_gib", "ferroflow": measured(server, work, gib)})
    return found


def expect(found: int, wanted: int) -> None:
    assert found == wanted, f"{found} bytes, not {wanted}"


def report(results: list[dict], options) -> None:
    store = f"{Path(os.environ['FERROFLOW_S3S_FS']).parents[1].name} (http), rclone (https)"
    about = machine() | {"command": "cargo xtask bench --artifacts", "rounds": options.rounds, "store": f"{store} on this machine"}
    about["load"] = f"{os.getloadavg()[2]:.1f} processes at a time in the last minutes, these included"
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "artifacts.json").write_text(json.dumps({"machine": about, "results": results}, indent=1) + "\n")
    head = ["# Artifacts, ferroflow beside the reference", "", *(f"- {key}: {value}" for key, value in about.items()), ""]
    head += ["| measurement | ferroflow | reference | ratio | the least | target | |", "| --- | --- | --- | --- | --- | --- | --- |"]
    (options.out / "artifacts.md").write_text("\n".join([*head, *map(row, results)]) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="measurements whose names begin so")
    parser.add_argument("--store", choices=STORES)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--huge", type=int, default=10, metavar="GIB", help="a file of this size as well; 0 for none")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    options = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory(prefix="ferroflow-bench-") as name:
        for kind in STORES:
            if options.store not in (None, kind):
                continue
            with contextlib.ExitStack() as stack:
                running = {}
                for who, start in (("ferroflow", servers.ferroflow), ("reference", servers.reference)):
                    folder = Path(name) / f"{kind}-{who}"
                    artifacts, env = stack.enter_context(place(kind, folder))
                    running[who] = stack.enter_context(start(f"sqlite:///{folder}/x.db", artifacts, env=env))
                    put(running[who], "bench/large.bin", LARGE)
                    put(running[who], "bench/small.bin", SMALL)
                for measurement, (work, gigabytes) in MEASUREMENTS.items():
                    if not measurement.startswith(options.only):
                        continue
                    rounds = {who: [] for who in running}
                    for _ in range(options.rounds):
                        for who, server in running.items():
                            rounds[who].append(measured(server, work, gigabytes))
                    figures = {who: median(seen) for who, seen in rounds.items()}
                    if gigabytes:
                        least = [floor(measurement, kind, Path(name)) for _ in range(options.rounds)]
                        figures["floor_cpu_s_per_gb"] = statistics.median(least)
                    results.append({"store": kind, "name": measurement} | figures)
                    print(row(results[-1]), flush=True)
                    report(results, options)
            if options.huge and not options.only:
                with tempfile.TemporaryDirectory(prefix="ferroflow-bench-") as apart:
                    results += huge(kind, Path(apart) / kind, options.huge)
                print(*map(row, results[-2:]), sep="\n", flush=True)
                report(results, options)


if __name__ == "__main__":
    main()
