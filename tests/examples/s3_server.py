"""A real S3 server on loopback with a tiny public dataset, and an unreliable connection to it."""

from __future__ import annotations

import csv
import hashlib
import io
import random
import select
import socket
import struct
import threading
import time
import urllib.request

import boto3
from moto.server import ThreadedMotoServer

BUCKET, PACKAGE = "allencell", "aics/cells"
URL = f"s3://{BUCKET}/{PACKAGE}"
COLUMNS = (
    "", "CellId", "crop_raw", "crop_seg", "name_dict", "structure_name", "cell_stage", "FOVId", "edge_flag", "outlier",
)  # fmt: skip


class Server:
    """Moto's server, filled with boto3 by a key that the fetch does not have."""

    def __init__(self) -> None:
        self._moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._moto.start()
        self.address = self._moto.get_host_and_port()
        self.endpoint = "http://{}:{}".format(*self.address)
        self.client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-west-2",
            aws_access_key_id="owner",
            aws_secret_access_key="owner",
        )

    def fresh(self) -> None:
        """An empty bucket that anybody may read and list."""
        reset = urllib.request.Request(f"{self.endpoint}/moto-api/reset", method="POST")
        urllib.request.urlopen(reset).close()
        self.client.create_bucket(
            Bucket=BUCKET, ACL="public-read", CreateBucketConfiguration={"LocationConstraint": "us-west-2"}
        )

    def put(self, key: str, body: bytes, folder: str = PACKAGE) -> None:
        self.client.put_object(Bucket=BUCKET, Key=f"{folder}/{key}", Body=body, ACL="public-read")

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket=BUCKET, Key=f"{PACKAGE}/{key}")

    def stop(self) -> None:
        self._moto.stop()


class Dataset:
    """Rows of the public layout over random bytes, named by their sha256 or, as the real ones, by that of a path."""

    def __init__(
        self, server: Server, *, named_by_content=True, cells=6, size=3000, genes=("TOMM20", "LMNB1")
    ):
        draw = random.Random(1)
        self.server, self.rows, self.bodies = server, [], {}
        for i in range(cells * len(genes)):
            row = {
                "": i, "CellId": 1000 + i, "structure_name": genes[i % len(genes)], "cell_stage": "M0", "FOVId": i // 4,
                "edge_flag": 0, "outlier": "No", "name_dict": "{'crop_raw': ['dna', 'membrane', 'structure']}",
            }  # fmt: skip
            for column, word in (("crop_raw", "raw"), ("crop_seg", "segmentation")):
                body = draw.randbytes(size + i)
                hashed = body if named_by_content else f"/allen/aics/{i}/{word}.ome.tif".encode()
                row[column] = f"{column}/{hashlib.sha256(hashed).hexdigest()}_{word}.ome.tif"
                self.bodies[row[column]] = body
                server.put(row[column], body)
            self.rows.append(row)
        self.publish()

    def publish(self) -> None:
        """Write the table."""
        written = io.StringIO(newline="")
        writer = csv.DictWriter(written, COLUMNS)
        writer.writeheader()
        writer.writerows(self.rows)
        self.server.put("metadata.csv", written.getvalue().encode())

    def files(self, cell_id) -> list[str]:
        row = next(r for r in self.rows if str(r["CellId"]) == str(cell_id))
        return [row["crop_raw"], row["crop_seg"]]


class BadLine:
    """A TCP proxy that breaks connections in the middle of a body, slows them down, and remembers requests."""

    def __init__(
        self, to: tuple[str, int], *, cuts: int = 0, after: int = 2000, seconds_a_block: float = 0.0
    ):
        self.to, self.cuts, self.after, self.seconds_a_block = to, cuts, after, seconds_a_block
        self.requests: list[bytes] = []
        self._lock = threading.Lock()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def asked(self, method: bytes, ending: str) -> list[bytes]:
        """The requests for objects whose key ends so."""
        return [r for r in self.requests if r.startswith(method) and r.split()[1].endswith(ending.encode())]

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        passed = 0
        with client, socket.create_connection(self.to) as server:
            try:
                while True:
                    ready = select.select([client, server], [], [])[0]
                    if client in ready:
                        if not (asked := client.recv(65536)):
                            return
                        self.requests.append(asked)
                        server.sendall(asked)
                    if server in ready:
                        if not (block := server.recv(1024)):
                            return
                        client.sendall(block)
                        passed += len(block)
                        time.sleep(self.seconds_a_block)
                        if passed > self.after and self._cut():
                            # Linger 0: reset the connection, as when a cable is pulled.
                            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                            return
            except OSError:
                return

    def _cut(self) -> bool:
        with self._lock:
            self.cuts -= (cut := self.cuts > 0)
        return cut
