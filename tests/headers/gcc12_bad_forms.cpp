// SPDX-License-Identifier: MIT
// Never compiled: every form that gcc12.query must report, each on a line that names it, beside forms that are safe.
#include <string>
#include <utility>

#include <asio/awaitable.hpp>

namespace {

struct Aggregate {
    std::string text;
    int number = 0;
};

class Constructed {
public:
    explicit Constructed(std::string text) : text_(std::move(text)) {}

private:
    std::string text_;
};

template <class T>
asio::awaitable<std::string> take(T)
{
    co_return std::string();
}

asio::awaitable<std::string> look(const std::string&) { co_return std::string(); }

asio::awaitable<bool> flag() { co_return true; }

asio::awaitable<void> bad(std::string text, bool yes)
{
    co_await take(Aggregate{text, 1});                           // bad: braced-temporary
    co_await take<Aggregate>({text, 1});                         // bad: braced-temporary
    co_await take([text] { return text; });                      // bad: lambda-temporary
    co_await take(yes ? std::string(text) : std::string("no"));  // bad: conditional-temporary
    co_await look(yes ? std::string(text) : std::string("no"));  // bad: conditional-temporary
    co_await look(yes ? text : std::string("no"));               // bad: conditional-temporary
    (void)(co_await take(1) + Aggregate{text, 1}.text);          // bad: braced-temporary
    auto braced = Aggregate{co_await take(1), 1};                // bad: await-in-braces
    auto chosen = yes ? co_await take(1) : std::string("no");    // bad: await-in-conditional
    if (!yes && co_await flag())                                 // bad: await-in-logical
        co_await take(1);
    auto inner = [](std::string s) -> asio::awaitable<void> {
        co_await take(Aggregate{s, 1});  // bad: braced-temporary
    };
    co_await inner(braced.text + chosen);
}

template <class T>
asio::awaitable<void> bad_template(T value)
{
    co_await take(Aggregate{value, 1});  // bad: braced-temporary
}

asio::awaitable<void> good(std::string text, bool yes)
{
    const std::string other = "other";
    Aggregate aggregate{text, 1};
    co_await take(std::move(aggregate));
    co_await take(Constructed(text));
    co_await take(Constructed{text});
    auto lambda = [text] { return text; };
    co_await take(std::move(lambda));
    co_await take([](int i) { return i; });
    co_await look(yes ? text : other);
    const int number = co_await flag() ? 1 : 2;
    auto chosen = yes ? std::string(text) : std::to_string(number);
    co_await take(std::move(chosen));
    auto later = [text]() -> asio::awaitable<void> { co_await take(1); };
    co_await later();
    co_await bad_template(text);
}

}  // namespace

asio::awaitable<void> all_forms()
{
    co_await bad("text", true);
    co_await good("text", true);
}
