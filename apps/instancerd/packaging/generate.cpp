// SPDX-License-Identifier: MIT
// generate man | man-config | bash | zsh | fish | schema: writes a manual page, a shell's completion, or the JSON
// schema of the configuration to standard output.
#include "generate.hpp"

#include <iostream>
#include <string>

#include "options/schema.hpp"

int main(int argc, char** argv)
{
    const std::string what = argc == 2 ? argv[1] : "";
    if (what == "man")
        generate::write_manual();
    else if (what == "man-config")
        generate::write_config_manual();
    else if (what == "bash")
        generate::write_bash();
    else if (what == "zsh")
        generate::write_zsh();
    else if (what == "fish")
        generate::write_fish();
    else if (what == "schema")
        std::cout << instancer::daemon::json_schema();
    else {
        std::cerr << "usage: generate man | man-config | bash | zsh | fish | schema\n";
        return 2;
    }
    return std::cout.flush() ? 0 : 1;
}
