"""What every test shares: no test may reach outside, and none may touch the data of a real start."""

import os
import tempfile

# Before Django reads its settings: tests keep their data in a folder of their own.
os.environ["STREAMLOOM_MODE"] = "embedded"
os.environ["STREAMLOOM_DATA_DIR"] = tempfile.mkdtemp(prefix="streamloom-test-")
os.environ["LOG_LEVEL"] = "WARNING"
for name in ("BINANCE_REST_URL", "BINANCE_WS_URL", "BINANCE_ARCHIVE_URL"):
    # Port 9 of this machine answers nobody: a test that forgets its exchange fails at once.
    os.environ[name] = ("ws" if "WS" in name else "http") + "://127.0.0.1:9"

pytest_plugins = ["streamloom.tests.services"]
