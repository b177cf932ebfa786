"""Fetched files are verified by their names, by the server or by the package's list."""

from __future__ import annotations

import hashlib
import json

import pytest
from fetch_steps import command, fetched_from, holds, loose_ends, table
from s3_server import PACKAGE, URL, Dataset

from napari_ic_train.data.checksums import Corrupt, Stored, prove


def test_a_corrupt_object_costs_its_cell_and_is_never_kept(server, tmp_path):
    dataset = Dataset(server)
    row = dataset.rows[4]
    server.put(row["crop_raw"], bytes(5000))
    result = command("--out", tmp_path, "--source", URL, "--endpoint", server.endpoint)
    assert result.exit_code == 1
    assert "Fetched 11 of 12 cells" in result.stdout
    assert not (tmp_path / row["crop_raw"]).exists()
    assert not loose_ends(tmp_path)
    assert {int(r["CellId"]) for r in table(tmp_path / "metadata.csv")} == {
        int(r["CellId"]) for r in dataset.rows if r is not row
    }
    reported = table(tmp_path / "fetch_report.csv")
    failed = [r for r in reported if r["problem"]]
    assert failed == reported[:1]
    assert (failed[0]["row"], failed[0]["CellId"], failed[0]["file"]) == ("5", "1004", row["crop_raw"])
    assert "not the one in its name" in failed[0]["problem"]

    server.put(row["crop_raw"], dataset.bodies[row["crop_raw"]])
    again = command("--out", tmp_path, "--source", URL, "--endpoint", server.endpoint)
    assert again.exit_code == 0
    assert len(table(tmp_path / "metadata.csv")) == 12


def test_a_corrupt_object_is_found_even_if_it_is_the_smallest(server, tmp_path):
    dataset = Dataset(server, cells=2)
    server.put(dataset.rows[1]["crop_seg"], b"short")
    fetched = fetched_from(server.endpoint, tmp_path)
    assert list(fetched.problems) == [dataset.rows[1]["crop_seg"]]
    assert not (tmp_path / dataset.rows[1]["crop_seg"]).exists()


def test_a_missing_object_costs_its_cell(server, tmp_path):
    dataset = Dataset(server, cells=2)
    server.delete(dataset.rows[2]["crop_seg"])
    fetched = fetched_from(server.endpoint, tmp_path)
    assert {p: str(e) for p, e in fetched.problems.items()} == {
        dataset.rows[2]["crop_seg"]: f"{dataset.rows[2]['crop_seg']} is not there"
    }
    assert [r["CellId"] for r in table(tmp_path / "metadata.csv")] == ["1000", "1001", "1003"]


def test_names_that_hash_a_path_are_verified_by_the_server_instead(server, tmp_path):
    dataset = Dataset(server, named_by_content=False, cells=2)
    fetched = fetched_from(server.endpoint, tmp_path)
    assert fetched.proven_by == {"MD5 of the server": 8}
    assert all(holds(tmp_path, dataset, row) for row in dataset.rows)
    bad = tmp_path / dataset.rows[0]["crop_seg"]
    bad.write_bytes(bytes(bad.stat().st_size))
    fetched_from(server.endpoint, tmp_path)
    assert holds(tmp_path, dataset, dataset.rows[0])


def test_names_can_be_insisted_upon(server, tmp_path):
    Dataset(server, named_by_content=False, cells=1)
    fetched = fetched_from(server.endpoint, tmp_path, verify="name")
    assert len(fetched.problems) == 4
    assert not list((tmp_path / "crop_raw").iterdir())


def test_the_package_list_tells_the_sha256_of_the_content(server, tmp_path):
    dataset = Dataset(server, named_by_content=False, cells=2)
    entries = [
        {"logical_key": p, "size": len(b), "hash": {"type": "SHA256", "value": hashlib.sha256(b).hexdigest()}}
        for p, b in dataset.bodies.items()
    ]
    listing = "\n".join(json.dumps(e) for e in [{"version": "v0", "message": "first"}, *entries]).encode()
    top = hashlib.sha256(listing).hexdigest()
    for key, body in ((f"named_packages/{PACKAGE}/latest", top.encode()), (f"packages/{top}", listing)):
        server.put(key, body, ".quilt")
    bad = dataset.rows[3]["crop_raw"]
    server.put(bad, bytes(len(dataset.bodies[bad])))
    fetched = fetched_from(server.endpoint, tmp_path, verify="package")
    assert fetched.proven_by == {"sha256 in the package": 7}
    assert "not the one in the package's list" in str(fetched.problems[bad])


def test_without_a_package_list_one_sentence_says_so(server, tmp_path):
    Dataset(server, cells=1)
    result = command("--out", tmp_path, "--source", URL, "--endpoint", server.endpoint, "--verify", "package")
    assert result.exit_code == 1
    assert "has no list of a package" in result.stderr.splitlines()[-1]


def test_an_object_of_parts_is_proven_by_the_md5_of_its_parts(tmp_path):
    body, mebibyte = bytes(range(256)) * 10_240, 2**20  # 2.5 MiB
    file = tmp_path / "object"
    file.write_bytes(body)
    parts = [hashlib.md5(body[i : i + mebibyte]).digest() for i in range(0, len(body), mebibyte)]
    etag = f"{hashlib.md5(b''.join(parts)).hexdigest()}-{len(parts)}"
    stored = Stored("table.csv", len(body), etag)
    assert prove(file, stored, named_by_content=None) == "MD5 of the server"
    file.write_bytes(body[:-1] + b"x")
    # Not the parts that were guessed, or other bytes: this cannot be decided, so only the size is reported as checked.
    assert prove(file, stored, named_by_content=None) == "size only"
    file.write_bytes(body[:-1])
    with pytest.raises(Corrupt, match="2621439 bytes, but the server announced 2621440"):
        prove(file, stored, named_by_content=None)
