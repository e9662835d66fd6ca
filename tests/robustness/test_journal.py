"""Results as they come: a line an input, and runs that go on from them."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

import hr2jax
from hr2jax.cli.main import main
from hr2jax.robustness import certifying
from hr2jax.robustness.journal import Journal

from ..reference.classifier import network
from ..reference.dask import cluster  # noqa: F401 (a fixture)

NET = network(1)
INPUTS = np.random.default_rng(5).uniform(-1, 1, (6, 2))
LABELS = np.argmax(NET(INPUTS), axis=1)
LABELS[2] = (LABELS[2] + 1) % 3  # wrong
# of one hidden layer and norm 2: nothing is compiled
ASKED = {
    "labels": LABELS, "radii": [0.05, 0.3], "norm": 2, "via": "lipschitz-local", "relaxation": "interval",
    "attack_starts": 0, "witness": 0.0,
}  # fmt: skip


def refuse(name):
    raise AssertionError(name)


def lines_of(path):
    return [json.loads(line, parse_constant=refuse) for line in path.read_text().splitlines()]


def same(one, other):
    for name in ("certified", "radius", "right", "decided", "broken_at", "adversarial", "labels"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.bounds == other.bounds
    assert one.status is other.status


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """(report, its file, its folder of certificates)"""
    folder = tmp_path_factory.mktemp("whole")
    where = {"results": folder / "run.jsonl", "certificates": folder / "proofs"}
    return hr2jax.certify(NET, INPUTS, **ASKED, **where), where["results"], where["certificates"]


def test_each_input_has_a_line(whole):
    report, path, folder = whole
    question, *lines = lines_of(path)
    assert question["network"] == NET.hash and question["radii"] == [0.05, 0.3] and question["count"] == 6
    inputs = {line["index"]: line for line in lines if "index" in line}
    assert sorted(inputs) == list(range(6)) and len(lines) == 6 + len(report.bounds)
    for i, line in inputs.items():
        assert line["radius"] == report.radius[i] and line["certified"] == report.certified[i].tolist()
        assert line["label"] == LABELS[i] and line["right"] == report.right[i] == (i != 2)
        for pair in line["pairs"]:
            proof = hr2jax.Certificate.load(folder / pair["certificate"])
            assert proof.verify(NET, norm=2) <= pair["bound"] * (1 + 1e-9)
            assert proof.lipschitz_problem.is_local == (pair["by"] == "lipschitz-local")
            assert pair["radius"] * pair["bound"] <= pair["margin"] or pair["by"] == "lipschitz-local"
    assert {pair["by"] for line in inputs.values() for pair in line["pairs"]} == {"lipschitz-global", "lipschitz-local"}
    same(report, hr2jax.certify(NET, INPUTS, **ASKED))


@pytest.mark.parametrize("via", ["sdp", "lipschitz-local"])
def test_what_excludes_a_rival_is_what_its_certificate_proves(tmp_path, via):
    """In norm inf, where local constants of many inputs are found together, and by largest values."""
    asked = ASKED | {"norm": "inf", "via": via, "labels": None, "radii": [0.1, 0.2], "radius_accuracy": None}
    where = {"results": tmp_path / "run.jsonl", "certificates": tmp_path / "proofs"}
    report = hr2jax.certify(NET, INPUTS[:3], **asked | {"relaxation": "shor"}, **where)
    found = set()
    for line in lines_of(where["results"]):
        for pair in line.get("pairs", ()):
            label, rival, certificate = line["label"], pair["rival"], pair["certificate"]
            proof = hr2jax.Certificate.load(where["certificates"] / certificate)
            if pair["by"] == "sdp":
                claim = {"quantity": "maximum", "output": (rival, label), "norm": "inf"}
                assert pair["bound"] < 0
            else:
                claim = {"quantity": "lipschitz", "norm": "inf"}
                assert pair["radius"] * pair["bound"] <= pair["margin"]
            assert proof.verify(NET, **claim) <= pair["bound"] + 1e-9 * abs(pair["bound"])
            if pair["by"] != "lipschitz-global":
                domain = proof.lipschitz_problem.domain.arrays()
                np.testing.assert_allclose(domain["center"], INPUTS[line["index"]], rtol=1e-12)
                assert (domain["radius"] >= pair["radius"] * (1 - 1e-12)).all()
            found.add(pair["by"])
        if "index" in line and line["right"]:
            assert min(pair["radius"] for pair in line["pairs"]) == report.radius[line["index"]]
    assert via in found


def test_a_finished_run_is_read_and_nothing_is_done(whole, monkeypatch, tmp_path):
    report, path, folder = whole
    before = path.read_bytes()

    def done(*_, **__):
        raise AssertionError("done again")

    monkeypatch.setattr(certifying, "solve_outputs", done)
    monkeypatch.setattr(certifying, "broken", done)
    monkeypatch.setattr(certifying, "search_all", lambda *_: ())
    again = hr2jax.certify(NET, INPUTS, **ASKED, results=path, certificates=folder)
    same(again, report)
    assert again.certificates.keys() == report.certificates.keys()
    same(hr2jax.certify(NET, INPUTS, **ASKED, results=path), report)
    assert path.read_bytes() == before


KILLED = """
import os, signal, sys
import numpy as np
from hr2jax.robustness import journal
from tests.robustness.test_journal import ASKED, INPUTS, NET
import hr2jax

add, count = journal.Journal.add, 0

def killed(self, results):
    global count
    results = list(results)
    add(self, results)
    count += sum(isinstance(result, journal.Entry) for result in results)
    if count >= 3:
        os.write(self.lines._descriptor, b'{"index":5,"label":')
        os.kill(os.getpid(), signal.SIGKILL)

journal.Journal.add = killed
hr2jax.certify(NET, INPUTS, **ASKED, results=sys.argv[1])
"""


def test_after_kill_9_a_run_goes_on(whole, tmp_path):
    path = tmp_path / "run.jsonl"
    process = subprocess.run([sys.executable, "-c", KILLED, path], capture_output=True, timeout=120, check=False)
    assert process.returncode == -signal.SIGKILL, process.stderr.decode()
    text = path.read_bytes()
    assert text.endswith(b'"label":')
    whole_lines = text[: text.rindex(b"\n") + 1]
    done = sum(b'"index"' in line for line in whole_lines.splitlines())
    assert 3 <= done < 6
    same(hr2jax.certify(NET, INPUTS, **ASKED, results=path), whole[0])
    assert path.read_bytes().startswith(whole_lines)
    indices = [line["index"] for line in lines_of(path) if "index" in line]
    assert sorted(indices) == list(range(6))


def test_what_ctrl_c_ends_goes_on(whole, tmp_path, monkeypatch):
    path = tmp_path / "run.jsonl"

    def stopped(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(certifying, "search_all", stopped)
        with pytest.raises(hr2jax.Interrupted) as stop:
            hr2jax.certify(NET, INPUTS, **ASKED, results=path)
    assert stop.value.result.status is hr2jax.Status.STOPPED
    assert sum("index" in line for line in lines_of(path)) == stop.value.result.decided.sum() < 6
    same(hr2jax.certify(NET, INPUTS, **ASKED, results=path), whole[0])


def test_what_time_ended_goes_on(whole, tmp_path):
    path = tmp_path / "run.jsonl"
    report = hr2jax.certify(NET, INPUTS, **ASKED, results=path, time_limit=0)
    assert report.status is hr2jax.Status.TIME_LIMIT
    same(hr2jax.certify(NET, INPUTS, **ASKED, results=path), whole[0])


def test_a_run_with_an_attack_keeps_what_it_found(tmp_path, monkeypatch):
    asked = {"labels": LABELS, "radii": [0.05, 0.6], "relaxation": "product", "results": tmp_path / "run.jsonl"}
    report = hr2jax.certify(NET, INPUTS, **asked)
    assert np.isfinite(report.broken_at).any()
    monkeypatch.setattr(certifying, "broken", lambda *_, **__: pytest.fail("done again"))
    again = hr2jax.certify(NET, INPUTS, **asked)
    same(again, report)
    np.testing.assert_array_equal(again.attack_accuracy, report.attack_accuracy)


def test_inputs_of_a_file_are_read_as_they_are_needed(tmp_path, monkeypatch):
    """Never are there more rows of them in memory than so many; what breaks one is in its line."""
    np.save(tmp_path / "x.npy", INPUTS.astype(np.float32))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    asked = {"radii": [0.6], "relaxation": "product", "clip": (-1, 1), "attack_starts": 1}
    whole = hr2jax.certify(NET, np.array(mapped), labels=LABELS, **asked)
    for place in ("inputs.ROWS", "certifying.ATTACKED", "certifying.WRITTEN"):
        monkeypatch.setattr(f"hr2jax.robustness.{place}", 2)
    path = tmp_path / "run.jsonl"
    report = hr2jax.certify(NET, mapped, labels=LABELS, **asked, results=path)
    assert report.adversarial is None and whole.adversarial.shape == INPUTS.shape
    for name in ("certified", "radius", "right", "decided", "labels"):
        np.testing.assert_array_equal(getattr(report, name), getattr(whole, name))
    lines = {line["index"]: line for line in lines_of(path) if "index" in line}
    broken = np.flatnonzero(np.isfinite(report.broken_at)).tolist()
    assert broken and all(lines[i]["adversarial"] is not None for i in broken)
    assert hr2jax.certify(NET, np.array(mapped), labels=LABELS, **asked, results=path).adversarial.shape == (6, 2)
    unlabelled = hr2jax.certify(NET, mapped, **asked | {"attack_starts": 0})
    assert unlabelled.labels.tolist() == np.argmax(NET(mapped), 1).tolist()
    with pytest.raises(ValueError, match=r"entry 0 of input \d is"):
        hr2jax.certify(NET, mapped, **asked | {"clip": (-0.1, 0.1)})
    np.save(tmp_path / "x.npy", np.where(np.arange(6)[:, None] == 5, np.nan, INPUTS))
    with pytest.raises(ValueError, match="finite"):
        hr2jax.certify(NET, np.load(tmp_path / "x.npy", mmap_mode="r"), **asked)


OTHER = {
    "network": ({"net": network(2)}, "another network"),
    "inputs": ({"inputs": INPUTS / 2}, "another inputs"),
    "labels": ({"labels": None}, "another labels"),
    "clip": ({"clip": (-1, 1)}, "another clip"),
    "radii": ({"radii": [0.05]}, r"radii \[0.05, 0.3\] \(now \[0.05\]\)"),
    "norm": ({"norm": "inf"}, r"norm 2 \(now 'inf'\)"),
    "via": ({"via": "lipschitz-global"}, r"via 'lipschitz-local' \(now 'lipschitz-global'\)"),
    "relaxation": ({"relaxation": "product"}, "relaxation 'interval'"),
    "accuracy": ({"radius_accuracy": None}, "radius_accuracy 0.05"),
    "tol": ({"tol": 1e-2}, r"tol 0.001 \(now 0.01\)"),
    "two": ({"seed": 3, "attack_starts": 1}, r"attack_starts 0 \(now 1\), seed 0 \(now 3\)"),
}


@pytest.mark.parametrize(("other", "named"), OTHER.values(), ids=list(OTHER))
def test_another_question_is_refused_by_what_differs(whole, other, named):
    before = whole[1].read_bytes()
    asked = {"net": NET, "inputs": INPUTS, **ASKED, "results": whole[1]} | other
    with pytest.raises(ValueError, match=named) as error:
        hr2jax.certify(**asked)
    assert "\n" not in str(error.value)
    assert whole[1].read_bytes() == before


def test_limits_and_machines_are_no_part_of_the_question(whole, tmp_path):
    path = tmp_path / "copy.jsonl"  # a run with a limit writes what it has used of it
    path.write_bytes(whole[1].read_bytes())
    same(hr2jax.certify(NET, INPUTS, **ASKED, results=path, time_limit=60, workers=1, device="cpu"), whole[0])


def test_two_runs_on_one_file_are_refused(whole):
    journal = Journal(whole[1], lines_of(whole[1])[0])
    with pytest.raises(ValueError, match="another run"):
        hr2jax.certify(NET, INPUTS, **ASKED, results=whole[1])
    journal.close()


def test_files_that_are_none_of_certifys(whole, tmp_path):
    path = tmp_path / "run.jsonl"
    for text in ('{"format": "hr2jax result 1"}\n', "a,b\n1,2\n", "[]\n"):
        path.write_text(text)
        with pytest.raises(ValueError, match="holds no results of certify"):
            hr2jax.certify(NET, INPUTS, **ASKED, results=path)
        assert path.read_text() == text
    lines = whole[1].read_text().splitlines(keepends=True)
    for bad in ("{}\n", "null\n", lines[-1].replace('"index":', '"index":9'), lines[-1].replace('"radius":', '"r":')):
        path.write_text("".join([*lines[:-1], bad]))
        with pytest.raises(ValueError, match=f"line {len(lines)} of .* is damaged"):
            hr2jax.certify(NET, INPUTS, **ASKED, results=path)


WRONG = {
    "index": [1.0, True, "1", 6, -1], "label": ["0", 7, True], "right": [1, "true"], "radius": [-1.0, "1", [], 10**400],
    "certified": [[1, 0], [True]], "adversarial": [[1.0], ["a", "b"], [None, 1.0], 3, [1e999, 0]], "broken_at": [-1],
    "pairs": [[{}], [3], None], "pair": [[0], [0, 1, 2], "01", ["0", "1"], [1, 0], [0, 9], [0.0, 1], [0, 0], 3, None],
    "bound": [-1.0, None, "1", True, 10**400], "status": ["GOOD", [], None], "certificate": [3],
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_line_with_a_value_of_another_type_is_named(whole, name, tmp_path):
    """Some were taken for what they look like, of others an error of Python's came out."""
    path, lines = tmp_path / "run.jsonl", whole[1].read_text().splitlines(keepends=True)
    at = next(i for i, line in enumerate(lines) if i and name in json.loads(line))
    for value in WRONG[name]:
        bad = json.dumps(json.loads(lines[at]) | {name: value}) + "\n"
        path.write_text("".join([*lines[:at], bad, *lines[at + 1 :]]))
        with pytest.raises(ValueError, match=f"line {at + 1} of .*run.jsonl is damaged") as error:
            hr2jax.certify(NET, INPUTS, **ASKED, results=path)
        assert "\n" not in str(error.value)


def test_a_line_of_countless_brackets_is_damaged(whole, tmp_path):
    """A RecursionError came out."""
    path, lines = tmp_path / "run.jsonl", whole[1].read_text().splitlines(keepends=True)
    path.write_text(lines[0] + "[" * 200_000 + "\n")
    with pytest.raises(ValueError, match=r"line 2 of .* is damaged"):
        hr2jax.certify(NET, INPUTS, **ASKED, results=path)
    path.write_text("[" * 200_000 + "\n")
    with pytest.raises(ValueError, match="holds no results of certify"):
        hr2jax.certify(NET, INPUTS, **ASKED, results=path)


def test_a_pair_below_what_its_certificate_states_is_refused(whole, tmp_path):
    """It was taken, and certified what nothing proves."""
    path, lines = tmp_path / "run.jsonl", whole[1].read_text().splitlines(keepends=True)
    at = next(i for i, line in enumerate(lines) if "pair" in json.loads(line))
    line = json.loads(lines[at])
    lines = [*lines[:at], json.dumps(line | {"bound": line["bound"] * (1 - 1e-12)}) + "\n"]
    path.write_text("".join(lines))
    with pytest.raises(ValueError, match=f"line {at + 1} of .* has the bound .*, but its certificate 'pair-.* states"):
        hr2jax.certify(NET, INPUTS, **ASKED, results=path, certificates=whole[2])
    path.write_text("".join([*lines[:at], json.dumps(line | {"bound": line["bound"] * 2}) + "\n"]))
    hr2jax.certify(NET, INPUTS, **ASKED, results=path, certificates=whole[2], time_limit=0)


def test_a_link_to_nothing_in_a_folder_is_said_in_words(whole, tmp_path, capsys):
    NET.save(tmp_path / "net.npz")
    (tmp_path / "proofs").mkdir()
    (tmp_path / "proofs" / "gone.npz").symlink_to(tmp_path / "nowhere.npz")
    assert main(["verify", str(tmp_path / "proofs"), str(tmp_path / "net.npz")]) == 1
    said = capsys.readouterr().err
    assert "gone.npz: it cannot be read: no such file or directory" in said and "Errno" not in said


def test_a_file_that_cannot_be_written_any_more_is_said(whole, tmp_path, monkeypatch, caplog):
    write, lines = os.write, []

    def full(descriptor, data):
        lines.append(data)
        if len(lines) > 2:
            raise OSError(28, "No space left on device")
        return write(descriptor, data)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        report = hr2jax.certify(NET, INPUTS, **ASKED, results=tmp_path / "run.jsonl")
    assert "could not be written (no space left on device)" in report.message
    assert caplog.text.count("could not be written") == 1
    same(report, whole[0])
    same(hr2jax.certify(NET, INPUTS, **ASKED, results=tmp_path / "run.jsonl"), whole[0])


def test_a_certificate_that_is_gone_or_wrong_is_found_again(whole, tmp_path):
    where = {"results": tmp_path / "run.jsonl", "certificates": tmp_path / "proofs"}
    hr2jax.certify(NET, INPUTS, **ASKED, **where, time_limit=0)
    hr2jax.certify(NET, INPUTS[:1], **{**ASKED, "labels": LABELS[:1]}, certificates=where["certificates"])
    for path in where["certificates"].glob("pair-0-*"):
        path.unlink()
    same(hr2jax.certify(NET, INPUTS, **ASKED, **where), whole[0])
    with pytest.raises(ValueError, match="certificates cannot be kept"):
        hr2jax.certify(NET, INPUTS, **ASKED, certificates=where["results"])


def test_the_command_line_keeps_and_proves_again(tmp_path, capsys):
    NET.save(tmp_path / "net.npz")
    np.savez(tmp_path / "data.npz", inputs=INPUTS, labels=LABELS)
    net, proofs = str(tmp_path / "net.npz"), str(tmp_path / "proofs")
    command = [
        "certify", net, str(tmp_path / "data.npz"), "--radii", "0.1", "--norm", "2", "--relaxation", "product",
        "--no-attack", "--results", str(tmp_path / "run.jsonl"), "--certificates", proofs, "--quiet",
    ]  # fmt: skip
    assert main(command) == 0
    first = capsys.readouterr().out
    assert main(command) == 0
    assert first.splitlines()[-1] == capsys.readouterr().out.splitlines()[-1]
    assert main([*command, "--seed", "3"]) == 2
    assert "another question" in capsys.readouterr().err
    assert main(["verify", proofs, net]) == 0
    assert "all 2 certificates" in capsys.readouterr().out
    assert main(["verify", proofs, net, "--local"]) == 1
    network(2).save(tmp_path / "other.npz")
    assert main(["verify", proofs, str(tmp_path / "other.npz")]) == 1
    (tmp_path / "proofs" / "pair-0-2.cert.npz").write_bytes(b"PK")
    capsys.readouterr()
    assert main(["verify", proofs, net]) == 1
    assert "1 of 2 certificates" in (said := capsys.readouterr().err) and "pair-0-2" in said
    (tmp_path / "empty").mkdir()
    assert main(["verify", str(tmp_path / "empty"), net]) == 2


@pytest.mark.framework("distributed", "cryptography")
def test_a_folder_is_proved_again_by_several(whole, tmp_path, capsys):
    NET.save(tmp_path / "net.npz")
    assert main(["verify", str(whole[2]), str(tmp_path / "net.npz"), "--workers", "2"]) == 0
    assert "Lipschitz constants on a domain" in capsys.readouterr().out


@pytest.mark.framework("distributed", "cryptography")
def test_workers_of_a_cluster_give_the_same_and_may_be_killed(whole, tmp_path, cluster, monkeypatch):  # noqa: F811
    client, *_ = cluster
    client.wait_for_workers(2, timeout=60)
    add, seen, processes = Journal.add, [], list(client.run(os.getpid).values())

    def killing(self, results):
        add(self, results)
        if len(seen) == 1:  # both have begun
            os.kill(processes[0], signal.SIGKILL)
        seen.append(1)

    monkeypatch.setattr(Journal, "add", killing)
    asked = ASKED | {"results": tmp_path / "run.jsonl", "certificates": tmp_path / "proofs", "client": client}
    same(hr2jax.certify(NET, INPUTS, **asked), whole[0])
    assert len(seen) > 4
    names = sorted(path.name for path in whole[2].iterdir())
    assert sorted(path.name for path in (tmp_path / "proofs").iterdir()) == names


@pytest.mark.framework("distributed", "cryptography")
def test_a_lost_scheduler_leaves_what_was_finished(whole, tmp_path, cluster, monkeypatch, caplog):  # noqa: F811
    client, scheduler, _ = cluster
    add, path = Journal.add, tmp_path / "run.jsonl"

    def killing(self, results):
        add(self, results := list(results))
        if any(hasattr(result, "index") for result in results):
            scheduler.kill()
            scheduler.wait()

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "add", killing)
        report = hr2jax.certify(NET, INPUTS, **ASKED, results=path, client=client)
    assert report.status is hr2jax.Status.STOPPED and report.message.startswith("the scheduler tcp://")
    assert "what was finished is kept" in caplog.text
    assert sum("index" in line for line in lines_of(path)) == report.decided.sum() < 6
    same(hr2jax.certify(NET, INPUTS, **ASKED, results=path), whole[0])


def test_a_time_limit_is_the_total_of_all_runs(tmp_path):
    """Each run had all of it."""
    path = tmp_path / "run.jsonl"
    first = hr2jax.certify(NET, INPUTS, **ASKED, results=path, time_limit=1000)
    used = [json.loads(line)["seconds"] for line in path.read_text().splitlines() if line.startswith('{"seconds"')]
    assert used and 0 <= used[-1] < 1000
    with open(path) as file:
        question = file.readline()
    path.write_text(question + '{"seconds":3.5}\n{"seconds":1e6}\n{"seconds":2}\n')
    over = hr2jax.certify(NET, INPUTS, **ASKED, results=path, time_limit=1000)
    assert over.status.name == "TIME_LIMIT" and not over.decided.all()
    same(hr2jax.certify(NET, INPUTS, **ASKED, results=path), first)  # without a limit nothing counts
    path.write_text(question + '{"seconds":-1}\n')
    with pytest.raises(ValueError, match=r"line 2 .* is damaged"):
        hr2jax.certify(NET, INPUTS, **ASKED, results=path, time_limit=1000)
