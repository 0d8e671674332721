# SPDX-License-Identifier: MIT
from conan import ConanFile
from conan.tools.system.package_manager import Apt


class SystemAsio(ConanFile):
    """The distribution's Asio, under the name that it has on ConanCenter."""

    name = "asio"
    settings = "os", "arch"

    def system_requirements(self):
        Apt(self).check(["libasio-dev"])

    def package_info(self):
        # The compiler finds it by itself.
        self.cpp_info.includedirs = []
        self.cpp_info.libdirs = []
        self.cpp_info.bindirs = []
        self.cpp_info.defines = ["ASIO_STANDALONE"]
        self.cpp_info.system_libs = ["pthread"]
