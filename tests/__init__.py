"""The tests; a package, so that no other distribution that installs a package `tests` is taken for it."""
