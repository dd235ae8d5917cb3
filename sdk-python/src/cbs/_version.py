"""The version of this package, which `$SRV` tells and `cbs-python --version` prints."""

VERSION = "0.1.0"
