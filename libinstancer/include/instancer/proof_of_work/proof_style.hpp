// SPDX-License-Identifier: MIT
#pragma once

namespace instancer {

/// Whose words a proof of work is asked for in. Players' scripts match on the exact bytes.
enum class ProofStyle {
    kctf,      ///< Google's kCTF.
    redpwn,    ///< redpwn's jail.
    hxp,       ///< hxp's ctf-ynetd.
    hashcash,  ///< The tool of that name.
};

}  // namespace instancer
