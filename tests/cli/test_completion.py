"""`hr2jax completion`: scripts that shells take."""

import shutil
import subprocess
import sys

import pytest

from hr2jax.cli.main import main


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_a_script_knows_commands_and_options(shell, capsys):
    pytest.importorskip("shtab")
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for word in ("solve", "verify", "report", "selftest", "--relaxation" if shell != "tcsh" else "relaxation"):
        assert word in script


def test_bash_completes_a_command(tmp_path, capsys):
    pytest.importorskip("shtab")
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash")
    assert main(["completion", "bash"]) == 0
    script = tmp_path / "hr2jax"
    script.write_text(capsys.readouterr().out)
    ask = (
        f"source {script}; COMP_WORDS=(hr2jax self); COMP_CWORD=1; COMP_LINE='hr2jax self'; COMP_POINT=11; "
        "$(complete -p hr2jax | sed 's/.*-F \\([^ ]*\\).*/\\1/') hr2jax self hr2jax; echo \"${COMPREPLY[@]}\""
    )
    done = subprocess.run([bash, "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["selftest"]


def test_without_shtab_the_command_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "bash"]) == 2
    assert 'pip install "shtab>=' in capsys.readouterr().err
