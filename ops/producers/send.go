// Send an image job, follow its events, and print its outcome. The job is accepted once XADD has returned an id.
// REDIS_URL=redis://127.0.0.1:6379 go run send.go '{"modelID": "nanobanana", "prompt": "A quiet harbour at dawn"}'
package main

import (
	"fmt"
	"log"
	"net/textproto"
	"net/url"
	"os"
)

// reply reads Redis' protocol: it returns the texts of nested arrays in one list. None of them has a line break.
func reply(connection *textproto.Conn) (texts []string) {
	line, err := connection.ReadLine()
	if err != nil || line[0] == '-' {
		log.Fatal("Redis: ", line, err)
	}
	count := 0
	fmt.Sscan(line[1:], &count)
	if line[0] == '$' && count >= 0 {
		text, _ := connection.ReadLine()
		return []string{text}
	}
	for ; line[0] == '*' && count > 0; count-- {
		texts = append(texts, reply(connection)...)
	}
	return texts
}

func main() {
	address, err := url.Parse(os.Getenv("REDIS_URL"))
	if err != nil {
		log.Fatal(err)
	}
	connection, err := textproto.Dial("tcp", address.Host)
	if err != nil {
		log.Fatal(err)
	}
	redis := func(words ...string) []string {
		connection.PrintfLine("*%d", len(words))
		for _, word := range words {
			connection.PrintfLine("$%d\r\n%s", len(word), word)
		}
		return reply(connection)
	}
	if password, given := address.User.Password(); given {
		redis("AUTH", address.User.Username(), password)
	}
	entry := redis("XADD", "photogpt:inbox", "*", "job", `{"v": 1, "kind": "image", "request": `+os.Args[1]+"}")
	job, event := "photogpt:job:{inbox-"+entry[0]+"}", map[string]string{}
	for read := []string{"", "0-0"}; event["data"] == ""; fmt.Println(event["type"]) {
		read = redis("XREAD", "COUNT", "1", "BLOCK", "0", "STREAMS", job+":events", read[1])
		for i := 2; i < len(read); i += 2 { // after the names of stream and event: names and values in turn
			event[read[i]] = read[i+1]
		}
	}
	fmt.Printf("record: %s\n%s\n", redis("HGET", job, "state")[0], event["data"])
}
