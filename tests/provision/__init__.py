import pytest

pytest.register_assert_rewrite("tests.provision.contract")
