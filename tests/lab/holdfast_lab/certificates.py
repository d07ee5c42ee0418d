# SPDX-License-Identifier: LGPL-2.1-or-later
"""Certificates for migrations with --tls: of all hosts, of one authority."""
import os

from .process import run

PKI = "/etc/libvirt/pki"
CA = "cn = lab\nca\ncert_signing_key\n"
# Not the management network's address: a connection over it cannot be checked by that.
HOST = """\
cn = {name}
dns_name = {name}
dns_name = {name}-migration
ip_address = {address}
tls_www_server
tls_www_client
signing_key
encryption_key
"""


def give(lab):
    """Makes them, unless they are there, and has the daemons use them."""
    if lab.a.read(PKI + "/ca-cert.pem"):
        return
    folder = os.path.join(lab.directory, "ca")
    os.makedirs(folder, exist_ok=True)

    def file(name, text=None):
        path = os.path.join(folder, name)
        if text is not None:
            with open(path, "w", encoding="ascii") as f:
                f.write(text)
        return path

    ca = ["--load-ca-privkey", file("ca-key.pem"), "--load-ca-certificate", file("ca-cert.pem")]
    generate = ["certtool", "--generate-privkey", "--rsa", "--bits", "2048", "--outfile"]
    run(generate + [file("ca-key.pem")])
    run(["certtool", "--generate-self-signed", "--template", file("ca.info", CA),
         "--load-privkey", file("ca-key.pem"), "--outfile", file("ca-cert.pem")])
    for host in lab.hosts:
        info = file("host.info", HOST.format(name=host.name, address=host.address("migration")))
        key, certificate = file(f"{host.name}-key.pem"), file(f"{host.name}-cert.pem")
        run(generate + [key])
        run(["certtool", "--generate-certificate", "--template", info, "--load-privkey", key,
             "--outfile", certificate, *ca])
        with open(file("ca-cert.pem"), encoding="ascii") as f:
            host.write(PKI + "/ca-cert.pem", f.read())
        for role in ("server", "client"):
            for kind, path in (("key", key), ("cert", certificate)):
                with open(path, encoding="ascii") as f:
                    host.write(f"{PKI}/{role}-{kind}.pem", f.read())
        host.write("/etc/libvirt/qemu.conf", host.read("/etc/libvirt/qemu.conf")
                   + f'migrate_tls_x509_cert_dir = "{PKI}"\n')
        host.daemon.restart()
