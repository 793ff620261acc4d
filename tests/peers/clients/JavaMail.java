import java.io.BufferedReader;
import java.io.FileInputStream;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.Properties;
import javax.mail.Session;
import javax.mail.Transport;
import javax.mail.internet.InternetAddress;
import javax.mail.internet.MimeMessage;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/** Sends letters with JavaMail: JavaMail.java CA-FILE, and a table on standard input (programs.py). */
public final class JavaMail {
    public static void main(String[] words) throws Exception {
        SSLContext context = trusting(words[0]);
        BufferedReader table = new BufferedReader(new InputStreamReader(System.in));
        for (String line = table.readLine(); line != null; line = table.readLine()) {
            send(line.split("\t"), context);
        }
    }

    private static void send(String[] field, SSLContext context) throws Exception {
        boolean signsIn = !field[2].isEmpty();
        Properties settings = new Properties();
        settings.put("mail.smtp.host", "localhost");
        settings.put("mail.smtp.port", field[0]);
        settings.put("mail.smtp.localaddress", field[5]);
        settings.put("mail.smtp.starttls.required", String.valueOf(field[1].equals("starttls")));
        settings.put("mail.smtp.ssl.enable", String.valueOf(field[1].equals("implicit")));
        settings.put("mail.smtp.ssl.checkserveridentity", "true");
        settings.put("mail.smtp.ssl.socketFactory", context.getSocketFactory());
        settings.put("mail.smtp.auth", String.valueOf(signsIn));
        settings.put("mail.smtp.auth.mechanisms", field[2]);
        settings.put("mail.smtp.allow8bitmime", "true");
        Session session = Session.getInstance(settings);
        MimeMessage message;
        try (InputStream letter = new FileInputStream(field[8])) {
            message = new MimeMessage(session, letter);
        }
        try (Transport transport = session.getTransport("smtp")) {
            if (signsIn) {
                transport.connect(field[3], field[4]);
            } else {
                transport.connect();
            }
            transport.sendMessage(message, new InternetAddress[] {new InternetAddress(field[7])});
        }
    }

    private static SSLContext trusting(String file) throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null);
        try (InputStream certificate = new FileInputStream(file)) {
            store.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(certificate));
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        return context;
    }
}
