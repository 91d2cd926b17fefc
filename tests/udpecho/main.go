// Command udpecho answers every datagram on a port with the same bytes. Tests mount it into a
// container, for busybox has no UDP server.
package main

import (
	"log"
	"net"
	"os"
)

func main() {
	conn, err := net.ListenPacket("udp4", "0.0.0.0:"+os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	buffer := make([]byte, 65536)
	for {
		n, from, err := conn.ReadFrom(buffer)
		if err != nil {
			log.Fatal(err)
		}
		_, _ = conn.WriteTo(buffer[:n], from)
	}
}
