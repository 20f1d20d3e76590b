// Calls followme over mutual TLS as a client that was made from the contract alone.
//
//	mtls certificates DIR   writes a CA, a server's certificate, and those of two clients
//	mtls calls ADDR DIR     makes the calls, and fails where one is not answered as it should be
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	followmev1 "followme.example/mtls/gen/porta/followme/v1"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "mtls:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	switch {
	case len(arguments) == 2 && arguments[0] == "certificates":
		return certificates(arguments[1])
	case len(arguments) == 3 && arguments[0] == "calls":
		return calls(arguments[1], arguments[2])
	}
	return errors.New("certificates DIR, or calls ADDR DIR")
}

// certificates writes ca.pem, server.pem and .key, portal.pem and .key (a caller by its SPIFFE id),
// stranger.pem and .key (nobody).
func certificates(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	ca := template(1)
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	if err := write(dir, "ca", ca, ca, key, key); err != nil {
		return err
	}
	server := template(2)
	server.DNSNames, server.IPAddresses = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)}
	portal := template(3)
	portal.URIs = []*url.URL{{Scheme: "spiffe", Host: "example.com", Path: "/portal"}}
	stranger := template(4)
	stranger.DNSNames = []string{"stranger.example.com"}
	for name, leaf := range map[string]*x509.Certificate{
		"server": server, "portal": portal, "stranger": stranger,
	} {
		leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		if err := write(dir, name, leaf, ca, leafKey, key); err != nil {
			return err
		}
	}
	return nil
}

func template(serial int64) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		Subject:      pkix.Name{CommonName: fmt.Sprint("followme test ", serial)},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

func write(dir, name string, leaf, issuer *x509.Certificate, key, issuerKey *ecdsa.PrivateKey) error {
	der, err := x509.CreateCertificate(rand.Reader, leaf, issuer, &key.PublicKey, issuerKey)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	for _, file := range []struct {
		name, kind string
		der        []byte
	}{{name + ".pem", "CERTIFICATE", der}, {name + ".key", "PRIVATE KEY", keyDER}} {
		text := pem.EncodeToMemory(&pem.Block{Type: file.kind, Bytes: file.der})
		if err := os.WriteFile(filepath.Join(dir, file.name), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func connect(addr, dir, client string) (*grpc.ClientConn, error) {
	text, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	if !config.RootCAs.AppendCertsFromPEM(text) {
		return nil, errors.New("no CA")
	}
	if client != "" {
		path := filepath.Join(dir, client)
		identity, err := tls.LoadX509KeyPair(path+".pem", path+".key")
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{identity}
	}
	return grpc.NewClient(addr, grpc.WithTransportCredentials(credentials.NewTLS(config)))
}

// call is one call, and how it is to be answered.
type call struct {
	what, client, token string
	code                codes.Code
	reason              string
	do                  func(context.Context, *grpc.ClientConn) error
}

func calls(addr, dir string) error {
	list := func(account int32) func(context.Context, *grpc.ClientConn) error {
		return func(ctx context.Context, conn *grpc.ClientConn) error {
			answer, err := followmev1.NewFollowMeServiceClient(conn).List(ctx,
				&followmev1.ListRequest{AccountId: account})
			if err == nil && answer.GetTotalSize() != 3 {
				return fmt.Errorf("%d numbers, not 3", answer.GetTotalSize())
			}
			return err
		}
	}
	remove := func(ctx context.Context, conn *grpc.ClientConn) error {
		_, err := followmev1.NewFollowMeServiceClient(conn).Delete(ctx,
			&followmev1.DeleteRequest{AccountId: 1001, NumberId: 70001})
		return err
	}
	add := func(number string) func(context.Context, *grpc.ClientConn) error {
		return func(ctx context.Context, conn *grpc.ClientConn) error {
			_, err := followmev1.NewFollowMeServiceClient(conn).Add(ctx, &followmev1.AddRequest{
				AccountId: 1001,
				Number:    &followmev1.FollowMeNumber{Name: "Van", RedirectNumber: number},
			})
			return err
		}
	}
	health := func(ctx context.Context, conn *grpc.ClientConn) error {
		_, err := grpc_health_v1.NewHealthClient(conn).Check(ctx,
			&grpc_health_v1.HealthCheckRequest{Service: "porta.followme.v1.FollowMeService"})
		return err
	}
	for _, call := range []call{
		{"a caller lists", "portal", "", codes.OK, "", list(1001)},
		{"a caller with a token lists", "", "ci-token", codes.OK, "", list(1001)},
		{"an account of somebody else", "portal", "", codes.PermissionDenied, "ACCOUNT_DENIED", list(1002)},
		{"a method of somebody else", "portal", "", codes.PermissionDenied, "METHOD_DENIED", remove},
		{"a denied destination", "portal", "", codes.PermissionDenied, "DESTINATION_DENIED", add("19005550100")},
		{"no credential", "", "", codes.Unauthenticated, "UNAUTHENTICATED", list(1001)},
		{"a stranger", "stranger", "", codes.Unauthenticated, "UNAUTHENTICATED", list(1001)},
		{"a wrong token", "", "wrong", codes.Unauthenticated, "UNAUTHENTICATED", list(1001)},
		{"health, for everybody", "", "", codes.OK, "", health},
		{"a caller adds", "portal", "", codes.OK, "", add("15550120")},
	} {
		if err := answered(addr, dir, call); err != nil {
			return fmt.Errorf("%s: %w", call.what, err)
		}
		fmt.Printf("%s: %s %s\n", call.what, call.code, call.reason)
	}
	return nil
}

func answered(addr, dir string, call call) error {
	conn, err := connect(addr, dir, call.client)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if call.token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+call.token)
	}
	err = call.do(ctx, conn)
	answer, ok := status.FromError(err)
	if !ok || answer.Code() != call.code {
		return fmt.Errorf("answered %v, not %s", err, call.code)
	}
	reason := ""
	for _, detail := range answer.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			reason = info.GetReason()
		}
	}
	if reason != call.reason {
		return fmt.Errorf("reason %q, not %q", reason, call.reason)
	}
	return nil
}
