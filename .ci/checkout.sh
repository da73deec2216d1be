# shellcheck shell=bash disable=SC2154  # it has no first line of its own, and its caller sets `checkout` and `tmp`
#
# What .ci/run and .ci/versions have in common; sourced by them. Needs `checkout`, the folder of the checkout, and `tmp`, one to
# put things into. Expects that the caller has `set -euo pipefail`.

die() {
    echo ".ci/$(basename "$0"): $*" >&2
    exit 1
}

# can_test PYTHON: whether it is 3.10 or newer and makes virtual environments; else says what it lacks.
can_test() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || { echo "$1 is not there or older than 3.10" && return 1; }
    "$1" -c 'import ensurepip, venv' 2>/dev/null || { echo "$1 has no venv module: apt-get install python3-venv" && return 1; }
}

# copy_checkout FOLDER: a copy as FOLDER/main, without what earlier runs left, so that .venv is a fresh one.
copy_checkout() {
    mkdir -p "$1/main"
    tar -C "$checkout" --exclude=./.git --exclude=./.venv --exclude=./build --exclude=./dist --exclude='*.egg-info' \
        --exclude=__pycache__ --exclude=node_modules --exclude='.*_cache' --exclude=./.hypothesis --exclude='turso-hooks-demo.db*' -cf - . |
        tar -C "$1/main" --no-same-owner -xf -
    if [ -d "$checkout/../shared/data" ]; then
        ln -s "$(cd "$checkout/../shared" && pwd)" "$1/shared"
    fi
}

# install_servers FOLDER: what tests/serving starts, for a copy in FOLDER/main.
install_servers() {
    # nginx is where only root's PATH looks; npm brings node along. cc makes a clock that goes back, chromium looks at pages.
    local missing=() as_root=() apt_get npm_command
    PATH="$PATH:/usr/sbin:/sbin" command -v nginx >/dev/null || missing+=(nginx-light)
    command -v openssl >/dev/null || missing+=(openssl)
    command -v cc >/dev/null || missing+=(gcc libc6-dev)
    command -v chromium >/dev/null || missing+=(chromium)
    command -v npm >/dev/null || missing+=(npm)
    [ "$(id -u)" = 0 ] || as_root=(sudo -n)
    if [ "${#missing[@]}" -gt 0 ]; then
        apt_get=(${as_root[@]+"${as_root[@]}"} env DEBIAN_FRONTEND=noninteractive apt-get -qq)
        echo "+ apt-get install ${missing[*]}"
        { "${apt_get[@]}" update && "${apt_get[@]}" install -y --no-install-recommends "${missing[@]}"; } >"$tmp/apt.log" 2>&1 || {
            tail -n 5 "$tmp/apt.log" >&2
            echo "${missing[*]} cannot be installed here; the tests that need them will be skipped" >&2
        }
    fi
    npm_command="npm install --ignore-scripts --no-package-lock --no-audit --no-fund --prefix tests/serving"
    echo "+ $npm_command"
    (cd "$1/main" && $npm_command) || echo "the servers cannot be installed; the tests that need them will be skipped" >&2
}

# The line between the README's two markers, without the fences of the code block, as `test_command`.
read_test_command() {
    test_command="$(sed -n '/<!-- test-command -->/,/<!-- test-command -->/p' "$checkout/README.md" | grep -v -e '^<!--' -e '^```' || true)"
    [ "$(grep -c . <<<"$test_command")" = 1 ] || die "README.md has not exactly one line between its test-command markers"
}
