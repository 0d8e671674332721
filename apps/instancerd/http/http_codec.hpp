// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>

#include "http/http_message.hpp"
#include "http/request_reader.hpp"

namespace instancer::daemon {

/// The bytes of an answer, and what follows them.
class HttpReply {
public:
    std::string bytes;
    std::shared_ptr<HttpFeed> feed;
    std::string failure;  ///< What the handler threw, for the operator.

    HttpReply() = default;
};

/// Reads requests and writes answers with cpp-httplib, without I/O. Every answer ends its connection, and no answer
/// tells of an exception.
///
/// Its server is not used: it takes any number of connections into an unbounded queue, reads from slow ones as long as
/// each byte comes in time, and waits by select(), which descriptors above 1023 must not be given to.
///
/// Threads: any, several at once.
class HttpCodec {
public:
    HttpCodec();
    ~HttpCodec();

    /// Has `handle` answer a request that is complete, or answers what is wrong with it. `wants_more`: it did not come
    /// in time.
    HttpReply answer(const RequestReader& request, const HttpHandler& handle) const;

private:
    class Parser;

    std::unique_ptr<Parser> parser_;
};

}  // namespace instancer::daemon
