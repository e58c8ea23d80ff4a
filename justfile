# What CI runs.
check:
    .ci/run

# All tests, with what they need installed first.
test *args:
    tests/run.sh {{ args }}

# The benchmark; see benches/run.py --help.
bench *args:
    benches/run.py {{ args }}

# The same for the storages, against the stock client of each.
bench-storages *args:
    benches/storages.py {{ args }}

# Packages and images, built and lived with; needs cargo-deb and cargo-generate-rpm.
packages *args:
    tests/packages/run.sh {{ args }}
