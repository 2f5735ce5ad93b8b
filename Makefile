# From Socket to Scope.  `make` alone lists what there is.
# Works with GNU make 3.81 (macOS) and newer.  PYTHON= chooses the interpreter, LAB_ARGS= goes to JupyterLab,
# TEST_ARGS= to pytest.

PYTHON =
LAB_ARGS =
TEST_ARGS =
# Jupyter refuses to run as root (a container) unless told.
ROOT_ARGS = $(if $(filter 0,$(shell id -u)),--allow-root)

# The whole suite: four processes on two cores, for most of the time is spent waiting; a file at a time (the cells of
# a notebook share a kernel) in the order of the files (else the longest would come last, and alone), and every line
# and branch of the toy server reached.
WHOLE = -n 4 --dist loadfile --no-loadscope-reorder --cov --cov-report=term
PY = .venv/bin/python
LOCK = $(PY) -m uv pip compile --universal --python-version 3.11 --generate-hashes \
	--no-annotate --no-header --quiet
INSTALL = $(PY) -m uv pip install --python $(PY)
OFFLINE = { echo "Could not install the packages: the reason stands above. If it is the network, connect" \
	"(behind a proxy, set HTTPS_PROXY) and run the same command again." >&2; exit 1; }

# JupyterLab would ask each newcomer whether to fetch its news.
QUIET = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": false}}

help:
	@echo "make lab                  open the course in JupyterLab (installs it the first time)"
	@echo "make test                 install, then run every test; TEST_ARGS='-k wire' chooses"
	@echo "make grade NB=path        grade an exercise notebook; OUT=folder keeps the reports"
	@echo "make bench                measure the toy server beside the real ones"
	@echo "make lint                 check lessons and exercises against the rules for writing them"
	@echo "make refresh              rebuild exercises, quoted code and stored outputs"
	@echo "make picture              take the picture in the README anew"
	@echo "make lock                 lock what pyproject.toml names; UPGRADE=--upgrade takes the newest"
	@echo "make clean                remove the environment and everything that was made"

lab: .venv/course .venv/apache
	@$(PY) -m jupyterlab --log-level=WARN --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb \
		--LabApp.news_url=None $(ROOT_ARGS) $(LAB_ARGS)

test: .venv/tests .venv/apache
	@$(PY) -m pytest $(or $(TEST_ARGS),$(WHOLE))

grade: .venv/course
	@$(if $(NB),,echo "Which notebook?  make grade NB=exercises/02_http.ipynb" >&2; exit 2;) \
		$(PY) -m coursekit.grading $(NB) $(if $(OUT),--out $(OUT))

bench: .venv/course
	@$(PY) -m coursekit.load.bench

lint: .venv/course
	@$(PY) -m coursekit lint

refresh: .venv/course
	@$(PY) -m coursekit refresh

# What the README shows; needs Chromium, as the browser tests do.
picture: .venv/tests
	@$(PY) tests/browser/picture.py docs/picture.png

# Versions stay as they are unless UPGRADE=--upgrade: lessons assert the defaults of real servers.
# The second lock holds the first at the same versions, and adds what only the tests need.
lock: .venv/tests
	$(LOCK) $(UPGRADE) pyproject.toml --output-file requirements.txt
	$(LOCK) $(UPGRADE) pyproject.toml --group test --constraints requirements.txt --output-file requirements-test.txt
	$(LOCK) $(UPGRADE) --group apache --output-file requirements-apache.txt
	$(PY) -m coursekit.authoring.environment

clean:
	rm -rf .venv build report .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage *.egg-info

.venv/course: requirements.txt pyproject.toml | $(PY)
	@$(INSTALL) --require-hashes --requirements requirements.txt || $(OFFLINE)
	@$(INSTALL) --quiet --no-deps --editable . || $(OFFLINE)
	@mkdir -p .venv/share/jupyter/lab/settings
	@echo '$(QUIET)' > .venv/share/jupyter/lab/settings/overrides.json
	@touch $@

.venv/tests: requirements-test.txt .venv/course
	@$(INSTALL) --require-hashes --requirements requirements-test.txt || $(OFFLINE)
	@touch $@

# mod_wsgi is built by apxs against the httpd that is here. Where that cannot be done, the lessons
# show what was recorded: it is no error, and is tried again the next time.
.venv/apache: requirements-apache.txt .venv/course
	@if ! command -v apxs >/dev/null; then \
		echo "No Apache with apxs here, so mod_wsgi is left out; .venv/bin/python -m coursekit doctor says how to get it."; \
	elif echo "Building mod_wsgi ..." && $(INSTALL) --quiet --require-hashes --requirements requirements-apache.txt; then \
		touch $@; \
	else \
		echo "Could not build mod_wsgi (the reason stands above); the course runs without."; \
	fi

# The first Python that is new enough and can make an environment.  (A name can exist and not work: pyenv's do.)
# uv, which is far faster than pip, comes from the lock too: the lines from "uv==" to the last of its hashes.
$(PY):
	@old= ; bare= ; \
	for python in $(or $(PYTHON),python3.13 python3.12 python3.11 python3); do \
		version=`$$python -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null` || continue; \
		$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { old=$$version; continue; }; \
		$$python -c 'import ensurepip, venv' 2>/dev/null || { bare=$$version; continue; }; \
		echo "Making .venv with Python $$version ..."; \
		$$python -m venv --clear .venv && exit 0; \
	done; \
	if [ "$$bare" ]; then \
		echo "Python $$bare here cannot make an environment: its venv module is missing." \
			"On Debian and Ubuntu: sudo apt install python$$bare-venv"; \
	else \
		echo "This course needs Python 3.11 or newer; $${old:+only Python $$old is here}`[ "$$old" ] || echo none is here`." \
			"Install one (python.org, brew install python@3.13, sudo apt install python3 python3-venv)" \
			"or name one: make lab PYTHON=/path/to/python3.13"; \
	fi >&2; \
	exit 1
	@sed -n '/^uv==/,/[^\\]$$/p' requirements-test.txt > .venv/uv.txt
	@echo "Getting the installer (uv) ..."
	@$(PY) -m pip install --disable-pip-version-check --quiet --retries 1 --require-hashes \
		--requirement .venv/uv.txt || { rm -rf .venv; $(OFFLINE); }

.PHONY: help lab test grade bench lint refresh picture lock clean
