# SPDX-License-Identifier: MIT
from conan import ConanFile
from conan.tools.system.package_manager import Apt


class SystemExpected(ConanFile):
    """The distribution's tl::expected, under the name that it has on ConanCenter."""

    name = "tl-expected"
    settings = "os", "arch"

    def system_requirements(self):
        Apt(self).check(["libexpected-dev"])

    def package_info(self):
        # The compiler finds it by itself.
        self.cpp_info.includedirs = []
        self.cpp_info.libdirs = []
        self.cpp_info.bindirs = []
        self.cpp_info.set_property("cmake_target_name", "tl::expected")
