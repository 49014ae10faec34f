#!/usr/bin/env bash
# Makes the certificates of the secure run in the folder DIR:  certs.sh DIR
# Elliptic-curve keys, because six RSA keys cost more time than the broker's start.
set -euo pipefail
mkdir -p "${1:?usage: certs.sh DIR}"
cd "$1"

authority() { # name
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -sha256 -nodes -days 3650 -subj "/CN=$1" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign \
    -keyout "$1.key" -out "$1.pem"
}

leaf() { # name, common name, authority, extensions
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$2" -keyout "$1.key" -out "$1.csr"
  openssl x509 -req -in "$1.csr" -CA "$3.pem" -CAkey "$3.key" -CAcreateserial -sha256 -days 3650 \
    -extfile <(printf 'basicConstraints=CA:FALSE\n%s\n' "$4") -out "$1.crt"
  rm "$1.csr"
}

{
  authority ca
  authority other-ca
  leaf server localhost ca $'extendedKeyUsage=serverAuth,clientAuth\nsubjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1'
  leaf client client-alice ca extendedKeyUsage=clientAuth
  # Signed by an authority the broker does not know: mutual TLS must refuse it.
  leaf stranger client-mallory other-ca extendedKeyUsage=clientAuth
  # For a broker whose name does not match: property ssl.keystore.location=@DIR@/certs/wronghost.pem.
  leaf wronghost wrong.example ca $'extendedKeyUsage=serverAuth\nsubjectAltName=DNS:wrong.example'
  openssl pkcs8 -topk8 -v2 aes-256-cbc -in client.key -passout pass:client-pass -out client-enc.key
} 2> openssl.log || { cat openssl.log >&2; exit 1; }
cat server.key server.crt ca.pem > server.pem
cat wronghost.key wronghost.crt ca.pem > wronghost.pem
