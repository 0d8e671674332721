// SPDX-License-Identifier: MIT
#pragma once

namespace instancer {

/// The kind of terminal that a program has instead of plain standard input and output.
enum class TerminalMode {
    none,    ///< No terminal.
    cooked,  ///< A terminal that hands over whole lines and acts on control characters; it does not echo.
    echo,    ///< A cooked one that echoes, for a client whose own terminal is raw.
    raw,     ///< A terminal that hands over every byte as it comes, and changes none.
};

}  // namespace instancer
