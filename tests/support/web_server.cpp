// SPDX-License-Identifier: MIT
#include "web_server.hpp"

#include <thread>

#include <doctest/doctest.h>
#include <httplib.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

namespace daemon_test {

namespace {

using KeyPtr = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using CertificatePtr = std::unique_ptr<X509, decltype(&X509_free)>;

KeyPtr make_key() { return KeyPtr(EVP_EC_gen("P-256"), EVP_PKEY_free); }

/// For 127.0.0.1, signed by itself, valid for an hour.
CertificatePtr make_certificate(EVP_PKEY* key)
{
    CertificatePtr certificate(X509_new(), X509_free);
    X509_set_version(certificate.get(), 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -60);
    X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
    X509_set_pubkey(certificate.get(), key);
    auto* name = X509_get_subject_name(certificate.get());
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("test"), -1, -1, 0);
    X509_set_issuer_name(certificate.get(), name);
    const std::unique_ptr<X509_EXTENSION, decltype(&X509_EXTENSION_free)> address(
        X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "IP:127.0.0.1"), X509_EXTENSION_free);
    X509_add_ext(certificate.get(), address.get(), -1);
    REQUIRE(X509_sign(certificate.get(), key, EVP_sha256()) != 0);
    return certificate;
}

std::string pem_of(X509* certificate)
{
    const std::unique_ptr<BIO, decltype(&BIO_free)> memory(BIO_new(BIO_s_mem()), BIO_free);
    PEM_write_bio_X509(memory.get(), certificate);
    char* data = nullptr;
    const auto size = BIO_get_mem_data(memory.get(), &data);
    return std::string(data, static_cast<std::size_t>(size));
}

}  // namespace

class WebServer::Impl {
public:
    Impl(std::unique_ptr<httplib::Server> server, httplib::Server::Handler handler) : server_(std::move(server))
    {
        server_->set_keep_alive_timeout(1);
        server_->Get(".*", handler);
        server_->Post(".*", handler);
        port_ = server_->bind_to_any_port("127.0.0.1");
        REQUIRE(port_ > 0);
        thread_ = std::thread([this] { server_->listen_after_bind(); });
        while (!server_->is_running())
            std::this_thread::yield();
    }

    ~Impl()
    {
        server_->stop();
        thread_.join();
    }

    int port() const { return port_; }

private:
    std::unique_ptr<httplib::Server> server_;
    int port_ = 0;
    std::thread thread_;
};

WebServer::WebServer(Handler handler, Scheme scheme)
{
    auto server = std::make_unique<httplib::Server>();
    if (scheme == Scheme::https) {
        const auto key = make_key();
        const auto certificate = make_certificate(key.get());
        certificate_ = pem_of(certificate.get());
        server = std::make_unique<httplib::SSLServer>(certificate.get(), key.get());
    }
    auto answer = [this, handler = std::move(handler)](const httplib::Request& request, httplib::Response& response) {
        WebQuestion question;
        question.method = request.method;
        question.path = request.path;
        question.authorization = request.get_header_value("Authorization");
        question.content_type = request.get_header_value("Content-Type");
        question.body = request.body;
        const auto answered = handler(question);
        response.status = answered.status;
        if (!answered.location.empty())
            response.set_header("Location", answered.location);
        response.set_content(answered.body, "application/json");
        ++asked_;
    };
    impl_ = std::make_unique<Impl>(std::move(server), std::move(answer));
}

WebServer::~WebServer() = default;

std::string WebServer::url(const std::string& path) const
{
    return (certificate_.empty() ? "http" : "https") + ("://127.0.0.1:" + std::to_string(impl_->port())) + path;
}

}  // namespace daemon_test
