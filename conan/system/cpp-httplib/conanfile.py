# SPDX-License-Identifier: MIT
from conan import ConanFile
from conan.tools.system.package_manager import Apt


class SystemHttplib(ConanFile):
    """The distribution's cpp-httplib, which is compiled, under the name that it has on ConanCenter."""

    name = "cpp-httplib"
    settings = "os", "arch"

    def system_requirements(self):
        Apt(self).check(["libcpp-httplib-dev"])

    def package_info(self):
        # The compiler finds it by itself.
        self.cpp_info.includedirs = []
        self.cpp_info.libdirs = []
        self.cpp_info.bindirs = []
        self.cpp_info.set_property("cmake_file_name", "httplib")
        self.cpp_info.set_property("cmake_target_name", "httplib::httplib")
        # Those that it was compiled with change its classes.
        self.cpp_info.defines = [f"CPPHTTPLIB_{part}_SUPPORT" for part in ("OPENSSL", "ZLIB", "BROTLI")]
        self.cpp_info.system_libs = ["cpp-httplib"]
