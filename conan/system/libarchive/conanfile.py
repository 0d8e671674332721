# SPDX-License-Identifier: MIT
from conan import ConanFile
from conan.tools.system.package_manager import Apt


class SystemArchive(ConanFile):
    """The distribution's libarchive, under the name that it has on ConanCenter."""

    name = "libarchive"
    settings = "os", "arch"

    def system_requirements(self):
        Apt(self).check(["libarchive-dev"])

    def package_info(self):
        # The compiler finds it by itself.
        self.cpp_info.includedirs = []
        self.cpp_info.libdirs = []
        self.cpp_info.bindirs = []
        self.cpp_info.set_property("cmake_file_name", "LibArchive")
        self.cpp_info.set_property("cmake_target_name", "LibArchive::LibArchive")
        self.cpp_info.system_libs = ["archive"]
