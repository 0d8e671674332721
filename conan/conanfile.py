# SPDX-License-Identifier: MIT
import os
import re

from conan import ConanFile
from conan.errors import ConanInvalidConfiguration
from conan.tools.build import check_min_cppstd
from conan.tools.cmake import CMake, CMakeDeps, CMakeToolchain, cmake_layout
from conan.tools.files import copy, load, rmdir
from conan.tools.scm import Version

required_conan_version = ">=2.1"


class InstancerConan(ConanFile):
    name = "instancer"
    description = "Gives every TCP client a server instance of its own: a process, a container, a tunnel"
    license = "MIT"
    topics = ("networking", "server", "proxy", "docker", "asio", "coroutines")
    package_type = "library"
    settings = "os", "compiler", "build_type", "arch"
    options = {
        "docker": [True, False],  # the compiled part; without it this is a header-only library
        "oci": [True, False],  # containers without an engine, in the compiled part
        "shared": [True, False],
        "fPIC": [True, False],
    }
    default_options = {"docker": True, "oci": True, "shared": False, "fPIC": True}

    @property
    def _root(self):
        return os.path.dirname(self.recipe_folder)

    @property
    def _oci(self):
        return bool(self.options.get_safe("oci"))

    def set_version(self):
        project = load(self, os.path.join(self._root, "CMakeLists.txt"))
        self.version = re.search(r"project\(instancer VERSION ([0-9.]+)", project).group(1)

    def export_sources(self):
        for pattern in "CMakeLists.txt", "LICENSE", "cmake/*", "libinstancer/*":
            copy(self, pattern, self._root, self.export_sources_folder)

    def configure(self):
        if not self.options.docker:
            self.options.rm_safe("oci")
            self.options.rm_safe("shared")
            self.options.rm_safe("fPIC")
            self.package_type = "header-library"
        elif self.options.shared:
            self.options.rm_safe("fPIC")

    def requirements(self):
        # Its public headers include these two, and no public header the others.
        self.requires("asio/1.30.2", transitive_headers=True)
        self.requires("tl-expected/1.1.0", transitive_headers=True)
        if self.options.docker:
            self.requires("cpp-httplib/0.18.3")
            self.requires("nlohmann_json/3.11.3")
            self.requires("openssl/3.3.2")
        if self._oci:
            self.requires("libarchive/3.7.6")
            self.requires("libseccomp/2.5.5")

    def package_id(self):
        if not self.info.options.docker:
            self.info.clear()

    def validate(self):
        if self.settings.os != "Linux":
            raise ConanInvalidConfiguration("instancer works on Linux only")
        check_min_cppstd(self, 20)
        least = {"gcc": "11", "clang": "15"}.get(str(self.settings.compiler))
        if least and Version(self.settings.compiler.version) < least:
            raise ConanInvalidConfiguration(f"instancer needs {self.settings.compiler} {least}, for its coroutines")

    def layout(self):
        cmake_layout(self)

    def generate(self):
        toolchain = CMakeToolchain(self)
        toolchain.cache_variables["INSTANCER_WITH_DOCKER"] = bool(self.options.docker)
        toolchain.cache_variables["INSTANCER_WITH_OCI"] = self._oci
        for part in "APPS", "EXAMPLES", "INIT", "TESTS", "BENCH":
            toolchain.cache_variables[f"INSTANCER_BUILD_{part}"] = False
        toolchain.generate()
        CMakeDeps(self).generate()

    def build(self):
        cmake = CMake(self)
        cmake.configure()
        cmake.build()

    def package(self):
        copy(self, "LICENSE", self.source_folder, os.path.join(self.package_folder, "licenses"))
        CMake(self).install()
        # Conan's own generators describe the package to whoever uses it.
        rmdir(self, os.path.join(self.package_folder, "lib", "cmake"))
        rmdir(self, os.path.join(self.package_folder, "lib", "pkgconfig"))

    def package_info(self):
        # The same names as with an installation by CMake. What holds all components needs one as well, but not theirs.
        headers = self.cpp_info.components["headers"]
        headers.set_property("pkg_config_name", "instancer-headers")
        headers.bindirs = []
        headers.libdirs = []
        headers.requires = ["asio::asio", "tl-expected::tl-expected"]
        headers.system_libs = ["pthread"]
        if self.options.docker:
            docker = self.cpp_info.components["docker"]
            docker.set_property("cmake_target_name", "instancer::instancer")
            docker.set_property("pkg_config_name", "instancer")
            self.cpp_info.set_property("cmake_target_name", "instancer::package")
            docker.libs = ["instancer"]
            docker.defines = ["INSTANCER_SEPARATE_COMPILATION"]
            docker.requires = ["headers", "cpp-httplib::cpp-httplib", "nlohmann_json::nlohmann_json", "openssl::crypto"]
            if self._oci:
                docker.requires += ["libarchive::libarchive", "libseccomp::libseccomp"]
