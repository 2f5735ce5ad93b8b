"""What is installed, where, and what a newcomer is told when it cannot be."""

import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib

import pytest
from packaging.requirements import Requirement

from coursekit.__main__ import main
from coursekit.authoring.environment import environment, pins
from coursekit.authoring.notebooks import ROOT
from coursekit.doctor import TOOLS, Tool
from coursekit.links import repository, rewrite

LOCK = (ROOT / "requirements.txt").read_text("utf-8")
TEST_LOCK = (ROOT / "requirements-test.txt").read_text("utf-8")
APACHE_LOCK = (ROOT / "requirements-apache.txt").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PYTHONS = [("3.11", "3.11.7"), ("3.12", "3.12.1"), ("3.13", "3.13.0")]


# The lock


@pytest.mark.parametrize("short, full", PYTHONS)
@pytest.mark.parametrize("system", ["linux", "darwin"])
def test_lock_holds_every_dependency_at_an_allowed_version(short, full, system):
    markers = {"python_version": short, "python_full_version": full, "sys_platform": system}
    locked, tested = pins(LOCK, **markers), pins(TEST_LOCK, **markers)
    wanted = [(text, locked) for text in PROJECT["project"]["dependencies"]]
    wanted += [(text, tested) for text in PROJECT["dependency-groups"]["test"]]
    apache = pins(APACHE_LOCK, **markers)
    wanted += [(text, apache) for text in PROJECT["dependency-groups"]["apache"]]
    for text, found in wanted:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate(markers):
            version = found.get(requirement.name, "nothing")
            assert version in requirement.specifier, f"{text}: {version} is locked; make lock"


def test_test_lock_is_the_lock_and_more():
    for short, full in PYTHONS:
        markers = {"python_version": short, "python_full_version": full}
        assert pins(LOCK, **markers).items() <= pins(TEST_LOCK, **markers).items()


@pytest.mark.parametrize("lock", [LOCK, TEST_LOCK, APACHE_LOCK], ids=["course", "tests", "apache"])
def test_lock_is_pins_and_hashes_alone(lock):
    pin = r"[a-z0-9][\w.-]*==[\w.!+]+(?: ; [^\\\n]+)?(?: \\\n    --hash=sha256:[0-9a-f]{64})+\n"
    assert re.fullmatch(f"(?:{pin})+", lock)


# Binder


def test_environment_is_made_from_the_lock():
    assert (ROOT / "environment.yml").read_text("utf-8") == environment(LOCK)


def test_pins_follow_the_markers():
    lock = "a==1 ; python_full_version < '3.12' \\\na==2 ; sys_platform == 'linux'\nb==3 \\\n"
    assert pins(lock) == {"a": "2", "b": "3"}
    mac = {"sys_platform": "darwin", "python_full_version": "3.11.0"}
    assert pins(lock, **mac) == {"a": "1", "b": "3"}


def test_binder_builds_from_environment_yml():
    plan = subprocess.run(
        [sys.executable, "-m", "repo2docker", "--no-build", "--debug", "."],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert plan.returncode == 0, plan.stderr
    assert "python=3.13" in plan.stderr
    steps = plan.stdout
    made = steps.index('env update -p ${NB_PYTHON_PREFIX} --file "environment.yml"')
    # The environment is made before the repository is copied: a commit does not build it anew.
    assert made < steps.index("COPY --chown=0:0 src/ ${REPO_DIR}/")
    for package in ("nginx", "apache2", "apache2-dev"):
        assert re.search(rf"apt-get install .*\b{package}\s", steps)
    assert "RUN ./postBuild" in steps
    assert os.access(ROOT / "postBuild", os.X_OK)


# make


@pytest.fixture
def checkout(tmp_path):
    """Return a folder with what `make` reads before anything is installed."""
    for file in ("Makefile", "pyproject.toml", *ROOT.glob("requirements*.txt")):
        shutil.copy(ROOT / file, tmp_path)
    (tmp_path / "bin").mkdir()
    return tmp_path


def make(checkout, target="lab", python="python3.11", **env):
    return subprocess.run(
        ["make", target, f"PYTHON={python}"],
        cwd=checkout,
        env={**os.environ, "PATH": f"{checkout}/bin:{os.environ['PATH']}", "MAKEFLAGS": "", **env},
        capture_output=True,
        text=True,
        timeout=120,
    )


def fake_python(checkout, version, modules=True):
    """Put a python3.11 on PATH that says it is this version, with or without venv."""
    python = checkout / "bin" / "python3.11"
    minor = int(version.split(".")[1])
    python.write_text(
        "#!/bin/sh\n"
        'case "$2" in\n'
        f"*print*) echo {version} ;;\n"
        f"*version_info*) exit {int(minor < 11)} ;;\n"
        f"*ensurepip*) exit {int(not modules)} ;;\n"
        "esac\n"
    )
    python.chmod(0o755)


def sentence(done):
    """Return the one line on stderr that is not make's own."""
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_old_python_is_one_sentence(checkout):
    fake_python(checkout, "3.9")
    said = sentence(make(checkout))
    assert "needs Python 3.11 or newer" in said and "only Python 3.9 is here" in said
    assert "PYTHON=" in said


def test_no_python_is_one_sentence(checkout):
    said = sentence(make(checkout, python="no-such-python"))
    assert "none is here" in said


def test_missing_venv_module_is_one_sentence(checkout):
    fake_python(checkout, "3.12", modules=False)
    said = sentence(make(checkout))
    assert "sudo apt install python3.12-venv" in said


def test_no_network_is_said_with_the_remedy(checkout):
    nowhere = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1"}
    done = make(checkout, python=sys.executable, **nowhere)
    assert done.returncode != 0
    assert "connect" in done.stderr and "HTTPS_PROXY" in done.stderr
    assert not (checkout / ".venv").exists()


def test_make_names_its_targets(checkout):
    shown = make(checkout, target="help").stdout
    makefile = (ROOT / "Makefile").read_text("utf-8")
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.M)
    for target in set(phony.split()) - {"help"}:
        assert f"make {target}" in shown


def test_mod_wsgi_is_built_where_it_can_be_and_missed_in_one_line_elsewhere(checkout):
    """The recipe runs with stand-ins: an environment whose uv fails, and an apxs or none."""
    for made in (".venv/bin/python", ".venv/course", "bin/apxs"):
        (checkout / made).parent.mkdir(parents=True, exist_ok=True)
        (checkout / made).touch(mode=0o755)
    done = make(checkout, ".venv/apache")
    assert done.returncode == 0 and (checkout / ".venv/apache").exists()  # uv said yes
    (checkout / ".venv/apache").unlink()
    (checkout / ".venv/bin/python").write_text("#!/bin/sh\necho the reason >&2\nexit 1\n")
    done = make(checkout, ".venv/apache")
    assert done.returncode == 0 and "Could not build mod_wsgi" in done.stdout
    for tool in ("sh", "touch", "uname", "id"):
        (checkout / "bin" / tool).symlink_to(shutil.which(tool))
    (checkout / "bin" / "apxs").unlink()
    (checkout / "bin" / "make").symlink_to(shutil.which("make"))
    done = subprocess.run(
        [checkout / "bin" / "make", ".venv/apache"],
        cwd=checkout, env={"PATH": f"{checkout}/bin"}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0 and done.stderr == ""
    assert "mod_wsgi is left out" in done.stdout and len(done.stdout.splitlines()) == 1
    assert not (checkout / ".venv/apache").exists()


# doctor and links


def test_doctor_says_what_brings_a_missing_tool(monkeypatch, capsys):
    monkeypatch.setattr("coursekit.doctor.shutil.which", lambda *a, **k: None)
    monkeypatch.setattr(Tool, "remedy", lambda self: f"get {self.apt}")
    assert main(["doctor"]) == 1
    said = capsys.readouterr().out
    for tool in TOOLS.values():
        if tool.wanted():
            assert f"missing  {tool.name}" in said and f"get {tool.apt}" in said


def test_doctor_is_content_when_all_is_there(monkeypatch, capsys):
    monkeypatch.setattr(Tool, "path", lambda self: "/usr/bin/true")
    assert main(["doctor"]) == 0
    assert "Nothing is missing." in capsys.readouterr().out


def test_remedy_fits_the_package_manager(monkeypatch):
    found = {"apt-get": "x"}
    monkeypatch.setattr("coursekit.doctor.shutil.which", lambda name, **k: found.get(name))
    assert TOOLS["nginx"].remedy() == "sudo apt-get install nginx"
    assert TOOLS["uwsgi"].remedy() == TOOLS["mod_wsgi"].remedy() == "make lab"
    found["brew"] = "x"
    assert TOOLS["chromium"].remedy() == "brew install --cask chromium"
    assert TOOLS["bubblewrap"].remedy() == "sudo apt-get install bubblewrap"
    found.clear()
    assert "your system's packages" in TOOLS["nginx"].remedy()


def project(folder):
    (folder / "notebooks").mkdir()
    (folder / "pyproject.toml").write_text('[tool.course]\nrepository = "me/course"\n')
    text = (
        "https://mybinder.org/v2/gh/me/course/HEAD?urlpath=x https://github.com/me/course.\n"
        "https://github.com/me/course-two https://github.com/else/course/blob/main/a.py\n"
    )
    (folder / "README.md").write_text(text)
    (folder / "notebooks" / "00.ipynb").write_text(text)


def test_links_follow_the_one_name(tmp_path):
    project(tmp_path)
    changed = rewrite(tmp_path, "you/Other.course")
    assert sorted(changed) == ["README.md", "notebooks/00.ipynb", "pyproject.toml"]
    assert repository(tmp_path) == "you/Other.course"
    for file in ("README.md", "notebooks/00.ipynb"):
        assert (tmp_path / file).read_text() == (
            "https://mybinder.org/v2/gh/you/Other.course/HEAD?urlpath=x "
            "https://github.com/you/Other.course.\n"
            "https://github.com/me/course-two https://github.com/else/course/blob/main/a.py\n"
        )
    assert rewrite(tmp_path, "you/Other.course") == []
    rewrite(tmp_path, "me/course")
    assert "you/" not in (tmp_path / "README.md").read_text()


@pytest.mark.parametrize("name", ["course", "a/b/c", "https://x/y", "me/ course"])
def test_links_refuses_what_is_no_repository(tmp_path, name):
    project(tmp_path)
    with pytest.raises(ValueError, match="OWNER/NAME"):
        rewrite(tmp_path, name)


def test_every_link_to_the_course_has_its_name():
    here = repository(ROOT)
    link = re.compile(
        r"(?:github\.com|mybinder\.org/v2/gh|nbviewer\.org/github)/([\w-]+/from-socket-to-scope)"
    )
    for path in [*ROOT.glob("*.md"), *ROOT.glob("*/*.ipynb")]:
        assert set(link.findall(path.read_text("utf-8"))) <= {here}, path.name


def test_wrong_command_line_is_one_line(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["dance"])
    assert stopped.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_command_error_is_one_line(capsys, tmp_path):
    assert main(["links", "--repo", "nonsense"]) == 1
    assert capsys.readouterr().err.startswith("coursekit: a repository is OWNER/NAME")


def test_ci_script_is_executable_bash():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    bash = shutil.which("bash")
    assert bash and subprocess.run([bash, "-n", script]).returncode == 0


class Item:
    """Stand for a test that needs a program."""

    def iter_markers(self, name):
        yield pytest.mark.needs("nginx").mark


def test_a_missing_program_leaves_a_test_out_and_fails_it_in_ci(monkeypatch):
    # By its path: the folder of the browser tests has a conftest too.
    pytest_runtest_setup = runpy.run_path(str(ROOT / "tests/conftest.py"))["pytest_runtest_setup"]
    monkeypatch.setattr(Tool, "path", lambda self: None)
    monkeypatch.setattr(Tool, "remedy", lambda self: "get it")
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="needs nginx; to bring it: get it"):
        pytest_runtest_setup(Item())
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="needs nginx"):
        pytest_runtest_setup(Item())
    monkeypatch.setattr(Tool, "path", lambda self: "/usr/sbin/nginx")
    pytest_runtest_setup(Item())
