// An agent's Java program: asks for URL, then posts to it, with HttpClient (HTTP/2) and with HttpsURLConnection. A JVM reads the
// proxy's address from JAVA_TOOL_OPTIONS but sends credentials only through an Authenticator, as here.
import java.io.InputStream;
import java.net.Authenticator;
import java.net.PasswordAuthentication;
import java.net.ProxySelector;
import java.net.URI;
import java.net.URL;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import javax.net.ssl.HttpsURLConnection;

public class Client {
  public static void main(String[] args) throws Exception {
    String[] user = URI.create(System.getenv("HTTPS_PROXY")).getUserInfo().split(":");
    Authenticator authenticator =
        new Authenticator() {
          @Override
          protected PasswordAuthentication getPasswordAuthentication() {
            return getRequestorType() == RequestorType.PROXY ? new PasswordAuthentication(user[0], user[1].toCharArray()) : null;
          }
        };
    HttpClient client =
        HttpClient.newBuilder().proxy(ProxySelector.getDefault()).authenticator(authenticator).build();
    HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(args[0]));
    print(client.send(request.GET().build(), HttpResponse.BodyHandlers.ofString()));
    print(client.send(request.POST(HttpRequest.BodyPublishers.ofString("x")).build(), HttpResponse.BodyHandlers.ofString()));

    Authenticator.setDefault(authenticator);
    HttpsURLConnection old = (HttpsURLConnection) new URL(args[0]).openConnection();
    try (InputStream in = old.getInputStream()) {
      System.out.println(old.getResponseCode() + " HTTP_1_1 " + new String(in.readAllBytes()).trim());
    }
  }

  private static void print(HttpResponse<String> answer) {
    System.out.println(answer.statusCode() + " " + answer.version() + " " + answer.body().trim());
  }
}
